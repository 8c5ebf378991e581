-- The tables that have a column for a user's id or a conversation's, but for those whose rows stay: they are known to
-- the database, and not only to this program.
SELECT quote_ident(c.relname)::text,
       bool_or(a.attname = 'user_id'), bool_or(a.attname = 'conversation_id')
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND a.attname IN ('user_id', 'conversation_id')
   AND c.relname NOT IN ('audit_events', 'conversation_tombstones', 'erasures')
 GROUP BY c.relname ORDER BY c.relname
