DROP INDEX IF EXISTS conversation_turns_words_idx;
DROP FUNCTION conversation_turn_words;
DROP FUNCTION conversation_turn_text;
