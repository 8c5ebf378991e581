-- How many conversations an export takes.
-- $1 user_id (null: everybody)  $2 changed_from  $3 changed_before  $4 statuses  $5 conversation_ids (null: whichever)
SELECT count(*)
  FROM conversations
 WHERE ($1 IS NULL OR user_id = $1)
   AND ($2 IS NULL OR updated_at >= $2)
   AND ($3 IS NULL OR updated_at < $3)
   AND status = ANY ($4)
   AND ($5 IS NULL OR conversation_id = ANY ($5))
