-- Rows of the audit log behind a place. A batch of a purge, of an archive or of an erasure names its conversations, and
-- an erasure its user by a hash.
-- $1 user_id  $2 conversation_id  $3 action (null: any)  $4 limit  $5 after
SELECT sequence, at, actor, on_behalf_of, action, conversation_id, outcome, detail, previous_hash, hash
  FROM audit_events
 WHERE sequence > $5
   AND ($1 IS NULL OR on_behalf_of = $1
        OR (action = 'erase' AND position(encode(sha256(uuid_send($1)), 'hex') IN detail) > 0))
   AND ($2 IS NULL OR conversation_id = $2 OR (action IN ('purge', 'archive', 'restore', 'erase')
                AND position($2::text IN detail) > 0))
   AND ($3 IS NULL OR action = $3)
 ORDER BY sequence LIMIT $4
