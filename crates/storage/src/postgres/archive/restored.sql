-- Says how long what was restored is kept, at least. How many.
-- $1 conversation_ids  $2 keep_seconds
WITH kept AS (
    INSERT INTO restorations (conversation_id, keep_until)
    SELECT conversation_id, now() + LEAST($2, 31622400000) * interval '1 second' FROM unnest($1) AS c (conversation_id)
    RETURNING 1
)
SELECT count(*) FROM kept
