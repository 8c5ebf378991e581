-- Whether a conversation was purged or erased, or its user was erased since an import began. An erasure that a hold has
-- stopped before its end erases nothing of what is held.
-- $1 conversation_id  $2 user_id  $3 began
SELECT EXISTS (SELECT FROM conversation_tombstones WHERE conversation_id = $1)
    OR EXISTS (SELECT FROM erasures e
                WHERE (e.conversation_id = $1
                       OR e.conversation_id IS NULL AND e.user_hash = sha256(uuid_send($2)) AND e.erased_at >= $3)
                  AND (e.audit_sequence IS NOT NULL
                       OR NOT EXISTS (SELECT FROM holds h
                                       WHERE h.released_at IS NULL AND h.user_id = $2
                                         AND (h.conversation_id IS NULL OR h.conversation_id = $1))))
