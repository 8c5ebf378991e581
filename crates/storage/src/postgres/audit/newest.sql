-- The newest rows of the audit log that are asked for, in their order. A batch of a purge
-- or of an archive names its conversations.
-- $1 user_id  $2 conversation_id  $3 action (null: any)  $4 limit
SELECT sequence, at, actor, on_behalf_of, action, conversation_id, outcome, detail, previous_hash, hash
  FROM (SELECT * FROM audit_events
         WHERE ($1 IS NULL OR on_behalf_of = $1)
           AND ($2 IS NULL OR conversation_id = $2 OR (action IN ('purge', 'archive', 'restore')
                AND position($2::text IN detail) > 0))
           AND ($3 IS NULL OR action = $3)
         ORDER BY sequence DESC LIMIT $4) newest
 ORDER BY sequence
