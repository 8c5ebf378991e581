-- The state of this agent, unless its conversation is deleted.
-- $1 user_id  $2 agent_id
SELECT s.agent_id, s.conversation_id, s.agent_config, s.agent_config_sealed, s.current_state,
       s.current_state_sealed, s.created_at, s.updated_at, s.revision, s.through_turn
  FROM agent_states s
 WHERE s.user_id = $1 AND s.agent_id = $2 AND NOT s.is_deleted
