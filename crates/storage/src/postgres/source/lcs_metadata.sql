-- The next rows of LCS's metadata, by conversation and turn; 0 is a conversation without turns.
-- $1 conversation_id  $2 turn_number (of the last row)  $3 limit
SELECT c.id::text, c.user_id::text, c.last_used_model::text, c.created_at, c.last_message_at,
       c.topic_summary::text, COALESCE(t.turn_number, 0)::bigint, t.started_at, t.completed_at, t.provider::text,
       t.model::text
  FROM user_conversation c
  LEFT JOIN user_turn t ON t.conversation_id = c.id
 WHERE c.id >= $1 AND (c.id > $1 OR COALESCE(t.turn_number, 0) > $2)
 ORDER BY c.id, t.turn_number
 LIMIT $3
