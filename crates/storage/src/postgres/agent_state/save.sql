-- Stores an agent's state as the next revision, if the conversation's revision is the expected one and it
-- has the turns that the state has seen. All that is decided on is the locked row: the verdict is current.
-- $1 user_id  $2 conversation_id  $3 agent_id  $4 expected_revision
-- $5 agent_config  $6 agent_config_sealed (both null: as before, {} at first)
-- $7 current_state  $8 current_state_sealed  $9 through_turn
WITH conv AS MATERIALIZED (
    SELECT turn_count, state_revision, status, agent_id FROM conversations
     WHERE user_id = $1 AND conversation_id = $2 FOR NO KEY UPDATE
), head AS (
    UPDATE conversations c
       SET state_revision = c.state_revision + 1, updated_at = GREATEST(c.updated_at, clock_timestamp())
      FROM conv
     WHERE c.user_id = $1 AND c.conversation_id = $2 AND conv.status = 'active'
       AND conv.agent_id = $3 AND conv.turn_count >= $9 AND conv.state_revision = $4
    RETURNING c.turn_count, c.state_revision
), state AS (
    INSERT INTO agent_states AS s (
        agent_id, conversation_id, user_id, agent_config, agent_config_sealed, current_state,
        current_state_sealed, created_at, updated_at, revision, through_turn)
    SELECT $3, $2, $1, CASE WHEN $6 IS NULL THEN COALESCE($5, '{}') END, $6, $7, $8,
           clock_timestamp(), clock_timestamp(), head.state_revision,
           -- $9, which is no more than the count here: alone it might not even be an integer.
           LEAST(head.turn_count, $9)::integer
      FROM head
    ON CONFLICT ON CONSTRAINT agent_states_pkey DO UPDATE
       SET agent_config = CASE WHEN $5 IS NULL AND $6 IS NULL THEN s.agent_config ELSE $5 END,
           agent_config_sealed =
               CASE WHEN $5 IS NULL AND $6 IS NULL THEN s.agent_config_sealed ELSE $6 END,
           current_state = $7,
           current_state_sealed = $8,
           updated_at = GREATEST(s.updated_at, EXCLUDED.updated_at),
           revision = EXCLUDED.revision,
           through_turn = EXCLUDED.through_turn
)
SELECT (SELECT state_revision FROM head), conv.status, conv.turn_count, conv.state_revision, conv.agent_id
  FROM (VALUES (1)) AS one (row) LEFT JOIN conv ON true
