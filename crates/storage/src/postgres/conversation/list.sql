-- A page of the user's conversations, newest first, and one more to tell whether there is a next page.
-- $1 user_id  $2 updated_at  $3 conversation_id (the place to go on behind; null: the beginning)
-- $4 status (null: any but deleted)  $5 limit
-- By the hour first, which is in the index: only the conversations of the same hour are sorted.
SELECT conversation_id, agent_id, model_id, system_prompt, created_at, updated_at, status,
       metadata, turn_count, state_revision, topic_summary, external_id
  FROM conversations
 WHERE user_id = $1 AND status <> 'deleted' AND ($4 IS NULL OR status = $4)
   AND active_hour <= COALESCE(floor(date_part('epoch', $2 AT TIME ZONE 'UTC') / 3600)::integer, 2147483647)
   AND ($2 IS NULL OR updated_at < $2 OR (updated_at = $2 AND conversation_id > $3))
 ORDER BY active_hour DESC, updated_at DESC, conversation_id
 LIMIT $5
