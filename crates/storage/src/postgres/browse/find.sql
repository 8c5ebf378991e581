-- A page of all users' conversations, newest first.
-- $1 first_id  $2 last_id  $3 user_id  $4 topic (a pattern)  $5 updated_at  $6 conversation_id (behind these)  $7 limit
SELECT conversation_id, user_id, topic_summary, status, turn_count, created_at, updated_at
  FROM conversations
 WHERE ($1 IS NULL OR conversation_id BETWEEN $1 AND $2)
   AND ($3 IS NULL OR user_id = $3)
   AND ($4 IS NULL OR topic_summary ILIKE $4)
   AND ($5 IS NULL OR updated_at < $5 OR updated_at = $5 AND conversation_id > $6)
 ORDER BY updated_at DESC, conversation_id
 LIMIT $7
