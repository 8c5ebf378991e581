-- The indexes of the schema, and whether they are valid.
-- $1 namespace
SELECT c.relname::text, i.indisvalid
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1
