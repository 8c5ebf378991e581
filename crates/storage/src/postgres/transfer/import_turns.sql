-- Stores the next turns of conversations whose heads are stored already. The binds are columns.
-- $1 conversation_id  $2 turn_number  $3 turn_id  $4 content_hash
-- $5 input_messages  $6 input_messages_sealed  $7 output_message  $8 output_message_sealed
-- $9 started_at  $10 completed_at  $11 metadata
WITH turn AS (
    INSERT INTO conversation_turns (
        conversation_id, user_id, turn_number, turn_id, content_hash, input_messages, input_messages_sealed,
        output_message, output_message_sealed, started_at, completed_at, metadata)
    SELECT c.conversation_id, c.user_id, i.turn_number, i.turn_id, i.content_hash, i.input_messages,
           i.input_messages_sealed, i.output_message, i.output_message_sealed, i.started_at, i.completed_at,
           i.metadata
      FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) AS i (
               conversation_id, turn_number, turn_id, content_hash, input_messages, input_messages_sealed,
               output_message, output_message_sealed, started_at, completed_at, metadata)
      JOIN conversations c ON c.conversation_id = i.conversation_id
    RETURNING 1
)
SELECT count(*) FROM turn
