-- Closes an archive that is begun, by what is archived in it: its state. Of one that is closed: what that is. Restores
-- wait for the lock that this runs under. What a tombstone says that names the archive is archived in it, whatever its
-- reason is by now: an erasure that a hold has stopped has changed the reason, and the hold keeps what the archive has.
-- $1 archive_id  $2 conversations  $3 turns  $4 bytes
WITH archived AS (
    SELECT count(*) AS count FROM conversation_tombstones WHERE archive_id = $1
), closed AS (
    UPDATE archives
       SET conversations = $2, turns = $3, bytes = $4,
           state = CASE archived.count WHEN 0 THEN 'given_up' WHEN $2 THEN 'complete' ELSE 'stale' END
      FROM archived
     WHERE archive_id = $1 AND state = 'begun'
    RETURNING state
)
SELECT state FROM closed
 UNION ALL
SELECT state FROM archives WHERE archive_id = $1 AND NOT EXISTS (SELECT FROM closed)
