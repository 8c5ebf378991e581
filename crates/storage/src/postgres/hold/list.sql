-- The holds in force behind one.
-- $1 after (null: from the beginning)  $2 limit
SELECT hold_id, user_id, conversation_id, reason, placed_by, placed_at, released_at, released_by
  FROM holds
 WHERE released_at IS NULL AND ($1 IS NULL OR hold_id > $1)
 ORDER BY hold_id LIMIT $2
