-- Appends a turn and stores the agent's state where nothing stands against it, else does nothing: gives a row
-- if it did.
-- $1 user_id  $2 conversation_id  $3 turn_id  $4 content_hash
-- $5 input_messages  $6 input_messages_sealed  $7 output_message  $8 output_message_sealed
-- $9 started_at  $10 completed_at  $11 metadata
-- $12 expected_turn_count (null: any number)
-- $13 agent_id  $14 expected_revision
-- $15 agent_config  $16 agent_config_sealed (both null: as before, {} at first)
-- $17 current_state  $18 current_state_sealed
WITH head AS (
    -- As in alone.sql.
    UPDATE conversations
       SET turn_count = turn_count + 1, state_revision = state_revision + 1,
           updated_at = GREATEST(updated_at, clock_timestamp())
     WHERE user_id = $1 AND conversation_id = $2 AND status = 'active'
       AND ($12 IS NULL OR turn_count = $12)
       AND agent_id = $13 AND state_revision = $14
    RETURNING turn_count, state_revision
), state AS (
    INSERT INTO agent_states AS s (
        agent_id, conversation_id, user_id, agent_config, agent_config_sealed, current_state,
        current_state_sealed, created_at, updated_at, revision, through_turn)
    SELECT $13, $2, $1, CASE WHEN $16 IS NULL THEN COALESCE($15, '{}') END, $16, $17, $18,
           clock_timestamp(), clock_timestamp(), head.state_revision, head.turn_count
      FROM head
    ON CONFLICT ON CONSTRAINT agent_states_pkey DO UPDATE
       SET agent_config = CASE WHEN $15 IS NULL AND $16 IS NULL THEN s.agent_config ELSE $15 END,
           agent_config_sealed =
               CASE WHEN $15 IS NULL AND $16 IS NULL THEN s.agent_config_sealed ELSE $16 END,
           current_state = $17,
           current_state_sealed = $18,
           updated_at = GREATEST(s.updated_at, EXCLUDED.updated_at),
           revision = EXCLUDED.revision,
           through_turn = EXCLUDED.through_turn
)
INSERT INTO conversation_turns (
    turn_id, conversation_id, user_id, turn_number, input_messages, input_messages_sealed,
    output_message, output_message_sealed, started_at, completed_at, metadata, content_hash)
SELECT $3, $2, $1, head.turn_count, $5, $6, $7, $8, $9, $10, $11, $4 FROM head
RETURNING turn_number, (SELECT state_revision FROM head)
