-- Deletes an agent's state and raises the conversation's revision. `deleted` is from the snapshot before
-- the lock: where it is false, only the same statement's second verdict is final.
-- $1 user_id  $2 agent_id
WITH conv AS MATERIALIZED (
    SELECT conversation_id, state_revision FROM conversations
     WHERE user_id = $1 AND agent_id = $2 AND status <> 'deleted' FOR NO KEY UPDATE
), gone AS (
    DELETE FROM agent_states s USING conv
     WHERE s.user_id = $1 AND s.agent_id = $2 AND s.conversation_id = conv.conversation_id
    RETURNING s.conversation_id
), head AS (
    UPDATE conversations c
       SET state_revision = c.state_revision + 1, updated_at = GREATEST(c.updated_at, clock_timestamp())
      FROM gone
     WHERE c.user_id = $1 AND c.conversation_id = gone.conversation_id
)
SELECT EXISTS (SELECT FROM gone), (SELECT state_revision FROM conv)
