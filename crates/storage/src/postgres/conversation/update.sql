-- Changes what is given; no row where the conversation is absent, foreign or deleted, or was last changed at
-- another time than is expected. The time moves on, also where the clock does not.
-- $1 user_id  $2 conversation_id  $3 whether the summary changes  $4 topic_summary  $5 status  $6 metadata
-- $7 expected updated_at
UPDATE conversations
   SET topic_summary = CASE WHEN $3 THEN $4 ELSE topic_summary END,
       status = COALESCE($5, status),
       metadata = COALESCE($6, metadata),
       updated_at = GREATEST(updated_at + interval '1 microsecond', clock_timestamp())
 WHERE user_id = $1 AND conversation_id = $2 AND status <> 'deleted'
   AND ($7 IS NULL OR updated_at = $7)
RETURNING conversation_id, agent_id, model_id, system_prompt, created_at, updated_at, status,
          metadata, turn_count, state_revision, topic_summary, external_id
