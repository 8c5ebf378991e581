DROP TRIGGER conversation_turns_last_words;
DROP TRIGGER conversation_turns_forget_words;
DROP TABLE turn_words_progress;
DROP TABLE turn_words;
