-- Turns of an export, in the order of their conversations' ids.
-- $1 conversation_ids  $2 after (turn_number)  $3 limit
SELECT turn_id, conversation_id, turn_number, input_messages, input_messages_sealed, output_message,
       output_message_sealed, started_at, completed_at, metadata
  FROM conversation_turns
 WHERE conversation_id = ANY ($1) AND turn_number > $2
 ORDER BY conversation_id, turn_number
 LIMIT $3
