-- What keeps a user's conversations besides the policy: whether they have a retention of their own, and how many days
-- that is (null: for ever); and which of these conversations are held.
-- $1 user_id  $2 conversation_ids
SELECT o.user_id IS NOT NULL, o.idle_days,
       ARRAY(SELECT c.conversation_id FROM unnest($2) AS c (conversation_id)
              WHERE EXISTS (SELECT FROM holds h
                             WHERE h.released_at IS NULL AND h.user_id = $1
                               AND (h.conversation_id IS NULL OR h.conversation_id = c.conversation_id)))
  FROM (SELECT $1 AS user_id) u LEFT JOIN retention_overrides o ON o.user_id = u.user_id
