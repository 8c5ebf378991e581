-- Lets an archive that is begun take the place of another: the tombstones of what it holds name it, whatever their
-- reason is, and both are closed. The new one's state; where it is not begun, that, and nothing is done.
-- $1 old  $2 new  $3 conversation_ids  $4 conversations  $5 turns  $6 bytes
WITH begun AS MATERIALIZED (
    SELECT archive_id FROM archives WHERE archive_id = $2 AND state = 'begun' FOR UPDATE
), moved AS (
    UPDATE conversation_tombstones
       SET archive_id = $2
     WHERE EXISTS (SELECT FROM begun) AND archive_id = $1 AND conversation_id = ANY ($3)
    RETURNING conversation_id
), here AS (
    SELECT count(*) AS count FROM moved
), left_there AS (
    SELECT count(*) AS count FROM conversation_tombstones
     WHERE archive_id = $1 AND conversation_id <> ALL ($3)
), old AS (
    UPDATE archives
       SET state = CASE left_there.count WHEN 0 THEN 'given_up' ELSE 'stale' END
      FROM left_there, begun
     WHERE archives.archive_id = $1
), new AS (
    UPDATE archives
       SET conversations = $4, turns = $5, bytes = $6,
           state = CASE here.count WHEN 0 THEN 'given_up' WHEN $4 THEN 'complete' ELSE 'stale' END
      FROM here, begun
     WHERE archives.archive_id = begun.archive_id
    RETURNING state
)
SELECT state FROM new
 UNION ALL
SELECT state FROM archives WHERE archive_id = $2 AND NOT EXISTS (SELECT FROM new)
