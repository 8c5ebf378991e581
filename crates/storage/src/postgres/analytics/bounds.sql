-- The time of this transaction, which part of the tables is looked at, in percent, and so the bound on what is read.
-- $1 bytes  At most that much of each table is read.
SELECT now(),
       least(100, 100 * $1::float8 / greatest(pg_relation_size('conversations'), 1)),
       least(100, 100 * $1::float8 / greatest(pg_relation_size('conversation_turns'), 1))
