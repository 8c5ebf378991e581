-- Makes a conversation that was taken some time ago; no row where it was erased since, or its user, and where its id, its
-- agent's or its external id is in use. It runs behind the lock of erasures: what one has erased is seen. One that a hold
-- has stopped before its end erases nothing of what is held.
-- $1 conversation_id  $2 user_id  $3 agent_id  $4 model_id  $5 system_prompt  $6 metadata
-- $7 topic_summary  $8 external_id  $9 recorded_at
INSERT INTO conversations (
    conversation_id, user_id, agent_id, model_id, system_prompt, created_at, updated_at, metadata,
    topic_summary, external_id)
SELECT $1, $2, $3, $4, $5, at.now, at.now, $6, $7, $8
  FROM (SELECT clock_timestamp()) AS at (now),
       LATERAL (SELECT EXISTS (SELECT FROM holds h
                                WHERE h.released_at IS NULL AND h.user_id = $2
                                  AND (h.conversation_id IS NULL OR h.conversation_id = $1))) AS held (is_held)
 WHERE NOT EXISTS (SELECT FROM erasures e
                    WHERE e.conversation_id IS NULL AND e.user_hash = sha256(uuid_send($2))
                      AND e.erased_at >= $9
                      AND (e.audit_sequence IS NOT NULL OR NOT held.is_held))
   AND NOT EXISTS (SELECT FROM erasures e
                    WHERE e.conversation_id = $1 AND (e.audit_sequence IS NOT NULL OR NOT held.is_held))
ON CONFLICT DO NOTHING
RETURNING conversation_id, agent_id, model_id, system_prompt, created_at, updated_at, status,
          metadata, turn_count, state_revision, topic_summary, external_id
