-- Makes a conversation with its turns, numbered in the order of the arrays; no row where its id, its agent's or
-- its external id is in use. A tombstone makes the trigger refuse it.
-- $1 conversation_id  $2 user_id  $3 agent_id  $4 model_id  $5 system_prompt  $6 metadata
-- $7 topic_summary  $8 external_id
-- $9 turn_ids  $10 content_hashes  $11 input_messages  $12 input_messages_sealed
-- $13 output_messages  $14 output_messages_sealed  $15 started_ats  $16 completed_ats  $17 turns' metadata
WITH made AS (
    INSERT INTO conversations (
        conversation_id, user_id, agent_id, model_id, system_prompt, created_at, updated_at, metadata,
        topic_summary, external_id, turn_count)
    SELECT $1, $2, $3, $4, $5, at.now, at.now, $6, $7, $8, cardinality($9)
      FROM (SELECT clock_timestamp()) AS at (now)
    ON CONFLICT DO NOTHING
    RETURNING conversation_id, user_id, agent_id, model_id, system_prompt, created_at, updated_at, status,
              metadata, turn_count, state_revision, topic_summary, external_id
), turns AS (
    INSERT INTO conversation_turns (
        conversation_id, user_id, turn_number, turn_id, content_hash, input_messages, input_messages_sealed,
        output_message, output_message_sealed, started_at, completed_at, metadata)
    SELECT made.conversation_id, made.user_id, t.turn_number, t.turn_id, t.content_hash, t.input_messages,
           t.input_messages_sealed, t.output_message, t.output_message_sealed, t.started_at, t.completed_at,
           t.metadata
      FROM made,
           unnest($9, $10, $11, $12, $13, $14, $15, $16, $17) WITH ORDINALITY
               AS t (turn_id, content_hash, input_messages, input_messages_sealed, output_message,
                     output_message_sealed, started_at, completed_at, metadata, turn_number)
)
SELECT conversation_id, agent_id, model_id, system_prompt, created_at, updated_at, status,
       metadata, turn_count, state_revision, topic_summary, external_id
  FROM made
