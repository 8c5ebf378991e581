-- Makes a conversation; no row where its id, its agent's or its external id is in use. A tombstone makes
-- the trigger refuse it.
-- $1 conversation_id  $2 user_id  $3 agent_id  $4 model_id  $5 system_prompt  $6 metadata
-- $7 topic_summary  $8 external_id
INSERT INTO conversations (
    conversation_id, user_id, agent_id, model_id, system_prompt, created_at, updated_at, metadata,
    topic_summary, external_id)
SELECT $1, $2, $3, $4, $5, at.now, at.now, $6, $7, $8 FROM (SELECT clock_timestamp()) AS at (now)
ON CONFLICT DO NOTHING
RETURNING conversation_id, agent_id, model_id, system_prompt, created_at, updated_at, status,
          metadata, turn_count, state_revision, topic_summary, external_id
