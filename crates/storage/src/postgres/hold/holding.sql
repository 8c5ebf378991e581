-- The holds in force that keep something of a user's, or a conversation: one too that is in an archive only.
-- $1 user_id  $2 conversation_id (one of them is null)
SELECT h.hold_id, h.user_id, h.conversation_id, h.reason, h.placed_by, h.placed_at, h.released_at, h.released_by
  FROM holds h
 WHERE h.released_at IS NULL
   AND (h.user_id = $1
        OR h.user_id = (SELECT c.user_id FROM conversations c WHERE c.conversation_id = $2)
           AND (h.conversation_id IS NULL OR h.conversation_id = $2)
        OR h.conversation_id IS NULL
           AND NOT EXISTS (SELECT FROM conversations c WHERE c.conversation_id = $2)
           AND sha256(uuid_send(h.user_id)) = (SELECT t.user_hash FROM conversation_tombstones t
                                                WHERE t.conversation_id = $2 AND t.archive_id IS NOT NULL))
 ORDER BY h.hold_id
