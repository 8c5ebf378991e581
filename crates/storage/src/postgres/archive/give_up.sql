-- Closes an archive, or marks it: given up where nothing is archived in it, and else stale. Its state.
-- $1 archive_id
UPDATE archives
   SET state = CASE WHEN EXISTS (SELECT FROM conversation_tombstones t
                                  WHERE t.archive_id = $1 AND t.reason = 'expired')
                    THEN 'stale' ELSE 'given_up' END
 WHERE archive_id = $1
RETURNING state
