-- The words of turns, for searching (docs/adr/0036-search.md). The text is what lcs_domain::search says. An append writes nothing
-- here: whoever searches adds the turns that are not in it yet, in the order of their rows.

CREATE VIEW turn_text AS
    SELECT t.rowid AS place, substr(coalesce((
               SELECT group_concat(j.atom, ' ')
                 FROM (SELECT t.input_messages AS document UNION ALL SELECT t.output_message) AS d, json_tree(d.document) AS j
                WHERE j.type = 'text' AND (j.fullkey = '$' OR j.key IN ('content', 'text')
                      OR typeof(j.key) = 'integer' AND (j.path = '$' OR j.path LIKE '%.content' OR j.path LIKE '%.text'))
           ), ''), 1, 100000) AS words
      FROM conversation_turns t;

-- Its rows are those of conversation_turns. Words that are removed are overwritten, as an erasure needs it.
CREATE VIRTUAL TABLE turn_words USING fts5 (words, content = '', detail = none, tokenize = "unicode61 remove_diacritics 0");
INSERT INTO turn_words (turn_words, rank) VALUES ('secure-delete', 1);

-- How far it has come: one row. Where place is another turn's by now, the rows were numbered anew, as VACUUM does, and
-- all of it is made again.
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
    INSERT INTO turn_words (turn_words, rowid, words) SELECT 'delete', place, words FROM turn_text WHERE place = OLD.rowid;
END;

-- The number of the last row is given again, when that row is gone.
CREATE TRIGGER conversation_turns_last_words AFTER DELETE ON conversation_turns
WHEN EXISTS (SELECT 1 FROM turn_words_progress WHERE place = OLD.rowid AND turn_id = OLD.turn_id)
BEGIN
    UPDATE turn_words_progress SET (place, turn_id) = (
        SELECT coalesce(max(t.rowid), 0), coalesce(t.turn_id, x'') FROM conversation_turns t WHERE t.rowid < OLD.rowid);
END;
