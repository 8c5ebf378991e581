-- Whose the target is or was, as a hash; null where nobody knows.
-- $1 user_id (null: a conversation's)  $2 conversation_id
SELECT coalesce(sha256(uuid_send($1)),
                (SELECT sha256(uuid_send(user_id)) FROM conversations WHERE conversation_id = $2),
                (SELECT user_hash FROM conversation_tombstones WHERE conversation_id = $2))
