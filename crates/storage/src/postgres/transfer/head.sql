-- The user's conversation, in whatever status, with its agent's state.
-- $1 user_id  $2 conversation_id
SELECT c.user_id, c.conversation_id, c.agent_id, c.model_id, c.system_prompt, c.created_at, c.updated_at, c.status,
       c.metadata, c.turn_count, c.state_revision, c.topic_summary, c.external_id,
       s.user_id, s.agent_id, s.conversation_id, s.agent_config, s.agent_config_sealed, s.current_state,
       s.current_state_sealed, s.created_at, s.updated_at, s.revision, s.through_turn
  FROM conversations c
  LEFT JOIN agent_states s ON s.conversation_id = c.conversation_id AND s.user_id = c.user_id
 WHERE c.user_id = $1 AND c.conversation_id = $2
