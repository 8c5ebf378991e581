-- A page of a conversation's turns with its head, in one snapshot, whosever it is: a row for each turn, in their order,
-- or one row without a turn.
-- $1 conversation_id  $2 after (null: a page that ends)  $3 before (null: a page that begins)  $4 limit
SELECT c.turn_count, t.turn_id, t.conversation_id, t.turn_number, t.input_messages, t.input_messages_sealed,
       t.output_message, t.output_message_sealed, t.started_at, t.completed_at, t.metadata
  FROM conversations c
  LEFT JOIN conversation_turns t
    ON t.conversation_id = $1
   AND t.turn_number > COALESCE($2, LEAST($3, c.turn_count + 1) - $4 - 1)
   AND t.turn_number < COALESCE($3, $2 + $4 + 1)
 WHERE c.conversation_id = $1
 ORDER BY t.turn_number
