-- Whether the user had this conversation and it is deleted or purged, for whatever reason.
-- $1 user_id  $2 conversation_id  $3 user_hash
SELECT EXISTS (SELECT FROM conversations
                WHERE user_id = $1 AND conversation_id = $2 AND status = 'deleted')
    OR EXISTS (SELECT FROM conversation_tombstones
                WHERE conversation_id = $2 AND user_hash = $3)
