-- The next ones of these conversations with their agents' states, in the order of their ids: page.sql, by their keys.
-- $1 after  $2 user_id (null: everybody)  $3 changed_from  $4 changed_before  $5 statuses  $6 limit  $7 conversation_ids
SELECT c.user_id, c.conversation_id, c.agent_id, c.model_id, c.system_prompt, c.created_at, c.updated_at, c.status,
       c.metadata, c.turn_count, c.state_revision, c.topic_summary, c.external_id,
       s.user_id, s.agent_id, s.conversation_id, s.agent_config, s.agent_config_sealed, s.current_state,
       s.current_state_sealed, s.created_at, s.updated_at, s.revision, s.through_turn
  FROM (SELECT * FROM conversations
         WHERE conversation_id = ANY ($7) AND conversation_id > $1
           AND ($2 IS NULL OR user_id = $2)
           AND ($3 IS NULL OR updated_at >= $3)
           AND ($4 IS NULL OR updated_at < $4)
           AND status = ANY ($5)
         ORDER BY conversation_id
         LIMIT $6) c
  LEFT JOIN LATERAL (SELECT * FROM agent_states s
                      WHERE s.conversation_id = c.conversation_id AND s.user_id = c.user_id
                      LIMIT 1) s ON true
 ORDER BY c.conversation_id
