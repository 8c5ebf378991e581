-- Users who have conversations, and those of whom one changed since an hour. The index is asked for each user's
-- newest hour, one user after the other, for as many users as the limit says: no row is read.
-- $1 since_hour  $2 limit
WITH RECURSIVE walk AS (
    (SELECT user_id, active_hour FROM conversations ORDER BY user_id DESC, active_hour DESC LIMIT 1)
    UNION ALL
    SELECT next.user_id, next.active_hour
      FROM walk, LATERAL (SELECT c.user_id, c.active_hour FROM conversations c
                           WHERE c.user_id < walk.user_id
                           ORDER BY c.user_id DESC, c.active_hour DESC LIMIT 1) next
)
SELECT count(*), count(*) FILTER (WHERE active_hour >= $1) FROM (SELECT active_hour FROM walk LIMIT $2) users
