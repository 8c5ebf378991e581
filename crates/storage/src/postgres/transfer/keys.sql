-- What a conversation's next turns are known by.
-- $1 user_id  $2 conversation_id  $3 after (turn_number)  $4 limit
SELECT turn_id, content_hash, started_at, completed_at, metadata
  FROM conversation_turns
 WHERE user_id = $1 AND conversation_id = $2 AND turn_number > $3
 ORDER BY turn_number
 LIMIT $4
