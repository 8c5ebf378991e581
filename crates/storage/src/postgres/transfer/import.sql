-- Stores conversations as they were elsewhere, with their states and such of their turns as come along; a row for
-- each that was stored. One whose id, or its agent's or external one, is in use, is passed over, and so is one that
-- has a tombstone that does not name the archive it comes from, or was erased, or its user was since the import began; a
-- turn whose id is in use refuses them all. An import runs behind the lock of erasures: what one has erased is seen. One
-- that a hold has stopped before its end erases nothing of what is held. The binds are columns, but for the last two.
-- $1 conversation_id  $2 user_id  $3 agent_id  $4 model_id  $5 system_prompt  $6 created_at  $7 updated_at
-- $8 status  $9 metadata  $10 turn_count  $11 state_revision  $12 topic_summary  $13 external_id
-- $14 states' conversation_id  $15 agent_config  $16 agent_config_sealed  $17 current_state
-- $18 current_state_sealed  $19 created_at  $20 updated_at  $21 through_turn
-- $22 turns' conversation_id  $23 turn_number  $24 turn_id  $25 content_hash
-- $26 input_messages  $27 input_messages_sealed  $28 output_message  $29 output_message_sealed
-- $30 started_at  $31 completed_at  $32 metadata  $33 archive_id (null: from none)
-- $34 began (null: it comes from an archive)
WITH stored AS (
    INSERT INTO conversations (
        conversation_id, user_id, agent_id, model_id, system_prompt, created_at, updated_at, status, metadata,
        turn_count, state_revision, topic_summary, external_id)
    SELECT i.conversation_id, i.user_id, i.agent_id, i.model_id, i.system_prompt, i.created_at,
           LEAST(i.updated_at, clock_timestamp()), i.status, i.metadata, i.turn_count, i.state_revision,
           i.topic_summary, i.external_id
      FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) AS i (
               conversation_id, user_id, agent_id, model_id, system_prompt, created_at, updated_at, status,
               metadata, turn_count, state_revision, topic_summary, external_id)
     WHERE NOT EXISTS (SELECT FROM conversation_tombstones t
                        WHERE t.conversation_id = i.conversation_id
                          AND ($33 IS NULL OR t.archive_id IS DISTINCT FROM $33))
       AND ($34 IS NULL OR NOT EXISTS (
               SELECT FROM erasures e
                WHERE (e.conversation_id = i.conversation_id
                       OR e.conversation_id IS NULL AND e.user_hash = sha256(uuid_send(i.user_id))
                          AND e.erased_at >= $34)
                  AND (e.audit_sequence IS NOT NULL
                       OR NOT EXISTS (SELECT FROM holds h
                                       WHERE h.released_at IS NULL AND h.user_id = i.user_id
                                         AND (h.conversation_id IS NULL
                                              OR h.conversation_id = i.conversation_id)))))
    ON CONFLICT DO NOTHING
    RETURNING conversation_id, user_id, agent_id, state_revision, status
), state AS (
    INSERT INTO agent_states (
        agent_id, conversation_id, user_id, agent_config, agent_config_sealed, current_state,
        current_state_sealed, created_at, updated_at, revision, through_turn, is_deleted)
    SELECT stored.agent_id, stored.conversation_id, stored.user_id, i.agent_config, i.agent_config_sealed,
           i.current_state, i.current_state_sealed, i.created_at, i.updated_at, stored.state_revision,
           i.through_turn, stored.status = 'deleted'
      FROM unnest($14, $15, $16, $17, $18, $19, $20, $21) AS i (
               conversation_id, agent_config, agent_config_sealed, current_state, current_state_sealed,
               created_at, updated_at, through_turn)
      JOIN stored ON stored.conversation_id = i.conversation_id
), turn AS (
    INSERT INTO conversation_turns (
        conversation_id, user_id, turn_number, turn_id, content_hash, input_messages, input_messages_sealed,
        output_message, output_message_sealed, started_at, completed_at, metadata)
    SELECT stored.conversation_id, stored.user_id, i.turn_number, i.turn_id, i.content_hash, i.input_messages,
           i.input_messages_sealed, i.output_message, i.output_message_sealed, i.started_at, i.completed_at,
           i.metadata
      FROM unnest($22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32) AS i (
               conversation_id, turn_number, turn_id, content_hash, input_messages, input_messages_sealed,
               output_message, output_message_sealed, started_at, completed_at, metadata)
      JOIN stored ON stored.conversation_id = i.conversation_id
)
SELECT conversation_id FROM stored
