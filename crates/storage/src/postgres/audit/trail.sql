-- The newest rows of the audit log about a conversation, in their order: its own, by their index; and those whose batches
-- name it, by the index of each of these actions. No batch names what was never removed: those are looked through only
-- where a tombstone or a restoration says that it was, which is asked once.
-- $1 conversation_id  $2 limit
SELECT sequence, at, actor, on_behalf_of, action, conversation_id, outcome, detail, previous_hash, hash
  FROM ((SELECT sequence, at, actor, on_behalf_of, action, conversation_id, outcome, detail, previous_hash, hash
           FROM audit_events
          WHERE conversation_id = $1
          ORDER BY sequence DESC LIMIT $2)
        UNION ALL
        (SELECT named.*
           FROM unnest(ARRAY['purge', 'archive', 'restore', 'erase']) AS batch (action)
          CROSS JOIN LATERAL (
                SELECT sequence, at, actor, on_behalf_of, e.action, conversation_id, outcome, detail, previous_hash, hash
                  FROM audit_events e
                 WHERE e.action = batch.action AND conversation_id IS DISTINCT FROM $1
                   AND position($1::text IN detail) > 0
                 ORDER BY sequence DESC LIMIT $2) AS named
          WHERE EXISTS (SELECT FROM conversation_tombstones WHERE conversation_id = $1)
             OR EXISTS (SELECT FROM restorations WHERE conversation_id = $1))
         ORDER BY sequence DESC LIMIT $2) newest
 ORDER BY sequence
