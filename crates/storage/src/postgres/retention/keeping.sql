-- What keeps a user's conversations besides the policy: whether they have a retention of their own, and how many days
-- that is (null: for ever); which of these conversations are held; and which came back from an archive, and until when
-- they are kept for that.
-- $1 user_id  $2 conversation_ids
SELECT o.user_id IS NOT NULL, o.idle_days,
       ARRAY(SELECT c.conversation_id FROM unnest($2) AS c (conversation_id)
              WHERE EXISTS (SELECT FROM holds h
                             WHERE h.released_at IS NULL AND h.user_id = $1
                               AND (h.conversation_id IS NULL OR h.conversation_id = c.conversation_id))),
       restored.conversation_ids, restored.times
  FROM (SELECT $1 AS user_id) u LEFT JOIN retention_overrides o ON o.user_id = u.user_id,
       LATERAL (SELECT COALESCE(array_agg(r.conversation_id), '{}') AS conversation_ids,
                       COALESCE(array_agg(r.keep_until), '{}') AS times
                  FROM restorations r JOIN conversations c ON c.conversation_id = r.conversation_id
                 WHERE c.user_id = $1 AND c.conversation_id = ANY ($2)) AS restored
