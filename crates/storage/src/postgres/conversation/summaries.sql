-- The user's conversations with the metadata of their last turns, newest first.
-- $1 user_id  $2 updated_at  $3 conversation_id (the place to go on behind; null: the beginning)
-- $4 limit (null: all)
-- By the hour first, as in list.sql.
SELECT c.conversation_id, c.external_id, c.created_at, c.updated_at, c.status, c.model_id, c.turn_count,
       t.metadata, c.topic_summary
  FROM conversations c
  LEFT JOIN conversation_turns t
    ON t.user_id = $1 AND t.conversation_id = c.conversation_id AND t.turn_number = c.turn_count
 WHERE c.user_id = $1 AND c.status <> 'deleted'
   AND c.active_hour <= COALESCE(floor(date_part('epoch', $2 AT TIME ZONE 'UTC') / 3600)::integer, 2147483647)
   AND ($2 IS NULL OR c.updated_at < $2 OR (c.updated_at = $2 AND c.conversation_id > $3))
 ORDER BY c.active_hour DESC, c.updated_at DESC, c.conversation_id
 LIMIT $4
