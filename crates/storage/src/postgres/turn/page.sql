-- A page of turns with the conversation's head, in one snapshot: a row for each turn, in their order, or
-- one row without a turn. Turns are numbered without gaps, so that a page is a range of numbers.
-- $1 user_id  $2 conversation_id  $3 after (null: a page that ends)  $4 before (null: a page that begins)
-- $5 limit
SELECT c.turn_count, t.turn_id, t.conversation_id, t.turn_number, t.input_messages, t.input_messages_sealed,
       t.output_message, t.output_message_sealed, t.started_at, t.completed_at, t.metadata
  FROM conversations c
  LEFT JOIN conversation_turns t
    ON t.user_id = $1 AND t.conversation_id = $2
   AND t.turn_number > COALESCE($3, LEAST($4, c.turn_count + 1) - $5 - 1)
   AND t.turn_number < COALESCE($4, $3 + $5 + 1)
 WHERE c.user_id = $1 AND c.conversation_id = $2 AND c.status <> 'deleted'
 ORDER BY t.turn_number
