-- An index for searching in what was said, for psql, as the role that owns the tables:
--
--     psql -v ON_ERROR_STOP=1 -f migrations/search.sql postgres://...
--
-- Searching works without it, by reading the user's turns. What it costs each append, and what it saves each search, is in
-- docs/adr/0036-search.md. It is built while others read and write. It can be run any number of times; one that was stopped
-- halfway is built anew. To drop it again: DROP INDEX CONCURRENTLY conversation_turns_words_idx. Another schema than public:
-- -v schema=...
--
-- btree_gin belongs to PostgreSQL's own extensions (Debian: in the package of the server). With it the index knows whose turn
-- a word is in, so that nobody's search reads what others have said.

\if :{?schema}
\else
    \set schema public
\endif
SET search_path = :"schema", public;

CREATE EXTENSION IF NOT EXISTS btree_gin;

SELECT format('DROP INDEX CONCURRENTLY %s', indexrelid::regclass)
  FROM pg_index WHERE indexrelid = to_regclass('conversation_turns_words_idx') AND NOT indisvalid
\gexec

CREATE INDEX CONCURRENTLY IF NOT EXISTS conversation_turns_words_idx ON conversation_turns
    USING gin (user_id, conversation_turn_words(input_messages, output_message));
