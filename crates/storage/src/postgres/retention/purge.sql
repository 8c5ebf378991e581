-- Removes up to a batch of conversations that may go, and leaves a tombstone for each. The condition is
-- checked again on each row when its lock is taken: what has woken up meanwhile stays, what somebody else
-- holds is passed over. Turns and states go with their conversation by their foreign keys.
-- $1 idle_seconds  $2 limit
WITH due AS MATERIALIZED (
    SELECT conversation_id, user_id, agent_id,
           CASE WHEN status = 'deleted' THEN 'deleted' ELSE 'expired' END AS reason
      FROM conversations
     WHERE status = 'deleted' OR updated_at < now() - $1 * interval '1 second'
     LIMIT $2 FOR UPDATE SKIP LOCKED
), purged AS (
    DELETE FROM conversations c USING due
     WHERE c.user_id = due.user_id AND c.conversation_id = due.conversation_id
    RETURNING due.conversation_id, due.user_id, due.agent_id, due.reason
), tombstone AS (
    INSERT INTO conversation_tombstones (conversation_id, user_hash, reason)
    SELECT conversation_id, sha256(uuid_send(user_id)), reason FROM purged
    ON CONFLICT ON CONSTRAINT conversation_tombstones_pkey DO NOTHING
)
SELECT conversation_id, user_id, agent_id, reason FROM purged
