-- Closes an archive, or marks it: given up where no tombstone names it, whatever its reason is, and else stale. Its
-- state.
-- $1 archive_id
UPDATE archives
   SET state = CASE WHEN EXISTS (SELECT FROM conversation_tombstones t
                                  WHERE t.archive_id = $1)
                    THEN 'stale' ELSE 'given_up' END
 WHERE archive_id = $1
RETURNING state
