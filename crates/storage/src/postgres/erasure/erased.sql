-- Which conversations are erased, or of users who are; each with the store's time. An erasure that a hold has stopped
-- before its end erases nothing of what is held.
-- $1 user_ids  $2 conversation_ids
SELECT clock_timestamp(), asked.user_id, asked.conversation_id, asked.user_erased_at, asked.is_erased
  FROM (SELECT a.user_id, a.conversation_id,
               (SELECT max(e.erased_at) FROM erasures e
                 WHERE e.conversation_id IS NULL AND e.user_hash = sha256(uuid_send(a.user_id))
                   AND (e.audit_sequence IS NOT NULL OR NOT held.is_held)) AS user_erased_at,
               EXISTS (SELECT FROM conversation_tombstones t
                        WHERE t.conversation_id = a.conversation_id AND t.reason = 'erased')
               OR EXISTS (SELECT FROM erasures e
                           WHERE e.conversation_id = a.conversation_id
                             AND (e.audit_sequence IS NOT NULL OR NOT held.is_held)) AS is_erased
          FROM unnest($1, $2) AS a (user_id, conversation_id),
               LATERAL (SELECT EXISTS (SELECT FROM holds h
                                        WHERE h.released_at IS NULL AND h.user_id = a.user_id
                                          AND (h.conversation_id IS NULL OR h.conversation_id = a.conversation_id)))
                   AS held (is_held)) AS asked
 WHERE asked.user_erased_at IS NOT NULL OR asked.is_erased
