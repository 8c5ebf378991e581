-- Whose the conversation is or was, as a hash; null where nobody knows.
-- $1 conversation_id
SELECT coalesce((SELECT sha256(uuid_send(user_id)) FROM conversations WHERE conversation_id = $1),
                (SELECT user_hash FROM conversation_tombstones WHERE conversation_id = $1))
