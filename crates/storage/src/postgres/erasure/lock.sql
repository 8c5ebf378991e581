-- Locks conversations of a target: nothing is appended to them from here on.
-- $1 user_id  $2 conversation_id (one of them is null)  $3 limit
SELECT conversation_id, user_id FROM conversations
 WHERE ($1 IS NULL OR user_id = $1) AND ($2 IS NULL OR conversation_id = $2)
 ORDER BY conversation_id LIMIT $3 FOR UPDATE
