-- Removes locked conversations with whatever requests there are to them, and leaves a tombstone for each. Turns and
-- states go with their conversation by their foreign keys.
-- $1 user_id  $2 conversation_ids
WITH states AS (
    SELECT count(*) AS number FROM agent_states WHERE user_id = $1 AND conversation_id = ANY($2)
), gone AS (
    DELETE FROM conversations WHERE user_id = $1 AND conversation_id = ANY($2) RETURNING conversation_id
), asked AS (
    DELETE FROM requests WHERE conversation_id = ANY($2) RETURNING request_id
), tombstone AS (
    INSERT INTO conversation_tombstones (conversation_id, user_hash, reason)
    SELECT conversation_id, sha256(uuid_send($1)), 'erased' FROM gone
    ON CONFLICT ON CONSTRAINT conversation_tombstones_pkey DO UPDATE SET reason = 'erased'
)
SELECT (SELECT count(*) FROM gone), (SELECT number FROM states), (SELECT count(*) FROM asked)
