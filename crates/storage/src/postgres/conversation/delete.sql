-- Deletes the conversation for its user, for ever.
-- $1 user_id  $2 conversation_id
UPDATE conversations SET status = 'deleted', updated_at = GREATEST(updated_at, clock_timestamp())
 WHERE user_id = $1 AND conversation_id = $2 AND status <> 'deleted'
RETURNING conversation_id
