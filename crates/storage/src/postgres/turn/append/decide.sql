-- Appends a turn, advances the head and stores the agent's state: whole or not at all, in one round trip.
-- $1 user_id  $2 conversation_id  $3 turn_id  $4 content_hash
-- $5 input_messages  $6 input_messages_sealed  $7 output_message  $8 output_message_sealed
-- $9 started_at  $10 completed_at  $11 metadata
-- $12 expected_turn_count (null: any number)
-- $13 agent_id (null: the state stays as it is)  $14 expected_revision
-- $15 agent_config  $16 agent_config_sealed (both null: as before, {} at first)
-- $17 current_state  $18 current_state_sealed
WITH conv AS MATERIALIZED (
    -- The lock comes first: what it returns is current even after a wait. Everything else that is read
    -- here is the snapshot from before that wait.
    SELECT turn_count, state_revision, status, agent_id FROM conversations
     WHERE user_id = $1 AND conversation_id = $2 FOR NO KEY UPDATE
), replayed AS MATERIALIZED (
    -- The same key before? Touching its row makes this commit wait for a synchronous standby as the
    -- first one did.
    SELECT turn_number, content_hash = $4 AS same_content FROM conversation_turns
     WHERE user_id = $1 AND conversation_id = $2 AND turn_id = $3 FOR KEY SHARE
), head AS (
    -- clock_timestamp(), not now(): what has waited for the lock is stamped when it writes, so that a
    -- cleaner that began meanwhile sees it as awake.
    UPDATE conversations c
       SET turn_count = c.turn_count + 1,
           state_revision = c.state_revision + CASE WHEN $13 IS NULL THEN 0 ELSE 1 END,
           updated_at = GREATEST(c.updated_at, clock_timestamp())
      FROM conv
     WHERE c.user_id = $1 AND c.conversation_id = $2 AND conv.status = 'active'
       AND ($12 IS NULL OR conv.turn_count = $12)
       AND ($13 IS NULL OR (conv.agent_id = $13 AND conv.state_revision = $14))
       AND NOT EXISTS (SELECT FROM replayed)
    RETURNING c.turn_count, c.state_revision
), turn AS (
    INSERT INTO conversation_turns (
        turn_id, conversation_id, user_id, turn_number, input_messages, input_messages_sealed,
        output_message, output_message_sealed, started_at, completed_at, metadata, content_hash)
    SELECT $3, $2, $1, head.turn_count, $5, $6, $7, $8, $9, $10, $11, $4 FROM head
    RETURNING turn_number
), state AS (
    INSERT INTO agent_states AS s (
        agent_id, conversation_id, user_id, agent_config, agent_config_sealed, current_state,
        current_state_sealed, created_at, updated_at, revision, through_turn)
    SELECT $13, $2, $1, CASE WHEN $16 IS NULL THEN COALESCE($15, '{}') END, $16, $17, $18,
           clock_timestamp(), clock_timestamp(), head.state_revision, head.turn_count
      FROM head WHERE $13 IS NOT NULL
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
SELECT (SELECT turn_number FROM turn), (SELECT state_revision FROM head),
       replayed.turn_number, replayed.same_content,
       conv.status, conv.turn_count, conv.state_revision, conv.agent_id
  FROM (VALUES (1)) AS one (row) LEFT JOIN conv ON true LEFT JOIN replayed ON true
