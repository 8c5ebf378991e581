-- The words of turns, for searching (docs/adr/0036-search.md). An append writes nothing here: whoever searches adds the turns that
-- are not in it yet, in the order of their rows. The words are cut before they come here, in lower case and with a space
-- between them; the tokenizer has nothing left to decide. With each turn stands whose it is.

-- Its rows are those of conversation_turns.
CREATE VIRTUAL TABLE turn_words USING fts5 (words, content = '', contentless_delete = 1, detail = none, tokenize = ascii);

-- How far it has come: one row. Where place is another turn's by now, the rows were numbered anew, and all of it is made
-- again.
CREATE TABLE turn_words_progress (
    is_only INTEGER NOT NULL PRIMARY KEY,
    place   INTEGER NOT NULL,
    turn_id BLOB    NOT NULL,
    CONSTRAINT turn_words_progress_is_only_check CHECK (is_only = 1)
) STRICT;
INSERT INTO turn_words_progress (is_only, place, turn_id) VALUES (1, 0, x'');

CREATE TRIGGER conversation_turns_forget_words BEFORE DELETE ON conversation_turns
WHEN OLD.rowid <= (SELECT place FROM turn_words_progress)
BEGIN
    DELETE FROM turn_words WHERE rowid = OLD.rowid;
END;

-- The number of the last row is given again, when that row is gone.
CREATE TRIGGER conversation_turns_last_words AFTER DELETE ON conversation_turns
WHEN EXISTS (SELECT 1 FROM turn_words_progress WHERE place = OLD.rowid AND turn_id = OLD.turn_id)
BEGIN
    UPDATE turn_words_progress SET (place, turn_id) = (
        SELECT coalesce(max(t.rowid), 0), coalesce(t.turn_id, x'') FROM conversation_turns t WHERE t.rowid < OLD.rowid);
END;
