-- Appends turns of different conversations, each where nothing stands against it: a row for each that was
-- appended. The binds are columns, an element for each turn.
-- $1 user_id  $2 conversation_id  $3 turn_id  $4 content_hash
-- $5 input_messages  $6 input_messages_sealed  $7 output_message  $8 output_message_sealed
-- $9 started_at  $10 completed_at  $11 metadata
-- $12 expected_turn_count (null: any number)
-- $13 agent_id (null: the state stays as it is)  $14 expected_revision
-- $15 agent_config  $16 agent_config_sealed (both null: as before, {} at first)
-- $17 current_state  $18 current_state_sealed
WITH input AS MATERIALIZED (
    -- From sub-selects, so that no plan depends on how many there are: it is made once a connection.
    SELECT * FROM unnest(
        (SELECT $1), (SELECT $2), (SELECT $3), (SELECT $4), (SELECT $5), (SELECT $6), (SELECT $7), (SELECT $8),
        (SELECT $9), (SELECT $10), (SELECT $11), (SELECT $12), (SELECT $13), (SELECT $14), (SELECT $15),
        (SELECT $16), (SELECT $17), (SELECT $18)
    ) AS i (
        user_id, conversation_id, turn_id, content_hash, input_messages, input_messages_sealed, output_message,
        output_message_sealed, started_at, completed_at, metadata, expected_turn_count, agent_id,
        expected_revision, agent_config, agent_config_sealed, current_state, current_state_sealed)
), locked AS MATERIALIZED (
    -- In the order of their ids, and never waiting: whoever holds locks waits for nobody, and a conversation
    -- that is held elsewhere is left to be appended to alone.
    SELECT c.conversation_id
      FROM input i JOIN conversations c ON c.conversation_id = i.conversation_id AND c.user_id = i.user_id
     ORDER BY c.conversation_id FOR NO KEY UPDATE OF c SKIP LOCKED
), head AS (
    UPDATE conversations c
       SET turn_count = c.turn_count + 1,
           state_revision = c.state_revision + CASE WHEN i.agent_id IS NULL THEN 0 ELSE 1 END,
           updated_at = GREATEST(c.updated_at, clock_timestamp())
      FROM locked JOIN input i ON i.conversation_id = locked.conversation_id
     WHERE c.conversation_id = locked.conversation_id AND c.user_id = i.user_id AND c.status = 'active'
       AND (i.expected_turn_count IS NULL OR c.turn_count = i.expected_turn_count)
       AND (i.agent_id IS NULL OR (c.agent_id = i.agent_id AND c.state_revision = i.expected_revision))
       AND NOT EXISTS (SELECT FROM conversation_turns t WHERE t.turn_id = i.turn_id)
    RETURNING c.conversation_id, c.turn_count, c.state_revision
), turn AS (
    INSERT INTO conversation_turns (
        turn_id, conversation_id, user_id, turn_number, input_messages, input_messages_sealed,
        output_message, output_message_sealed, started_at, completed_at, metadata, content_hash)
    SELECT i.turn_id, i.conversation_id, i.user_id, head.turn_count, i.input_messages, i.input_messages_sealed,
           i.output_message, i.output_message_sealed, i.started_at, i.completed_at, i.metadata, i.content_hash
      FROM head JOIN input i ON i.conversation_id = head.conversation_id
), state AS (
    INSERT INTO agent_states AS s (
        agent_id, conversation_id, user_id, agent_config, agent_config_sealed, current_state,
        current_state_sealed, created_at, updated_at, revision, through_turn)
    SELECT i.agent_id, i.conversation_id, i.user_id,
           CASE WHEN i.agent_config_sealed IS NULL THEN COALESCE(i.agent_config, '{}') END,
           i.agent_config_sealed, i.current_state, i.current_state_sealed,
           clock_timestamp(), clock_timestamp(), head.state_revision, head.turn_count
      FROM head JOIN input i ON i.conversation_id = head.conversation_id
     WHERE i.agent_id IS NOT NULL
    ON CONFLICT ON CONSTRAINT agent_states_pkey DO UPDATE
       SET (agent_config, agent_config_sealed) = (
               SELECT CASE WHEN keeps THEN s.agent_config ELSE EXCLUDED.agent_config END,
                      CASE WHEN keeps THEN s.agent_config_sealed ELSE EXCLUDED.agent_config_sealed END
                 FROM (SELECT i.agent_config IS NULL AND i.agent_config_sealed IS NULL AS keeps
                         FROM input i WHERE i.agent_id = EXCLUDED.agent_id) k),
           current_state = EXCLUDED.current_state,
           current_state_sealed = EXCLUDED.current_state_sealed,
           updated_at = GREATEST(s.updated_at, EXCLUDED.updated_at),
           revision = EXCLUDED.revision,
           through_turn = EXCLUDED.through_turn
)
SELECT conversation_id, turn_count, state_revision FROM head
