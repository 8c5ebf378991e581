-- Begins an archive, unless another one was begun a short while ago that is not closed. Whether it is begun.
-- $1 archive_id  $2 unless_within_seconds
WITH begun AS (
    INSERT INTO archives (archive_id)
    SELECT $1 WHERE NOT EXISTS (SELECT FROM archives
                                 WHERE state = 'begun' AND begun_at > clock_timestamp() - $2 * interval '1 second')
                AND NOT EXISTS (SELECT FROM archives WHERE archive_id = $1)
    ON CONFLICT ON CONSTRAINT archives_pkey DO NOTHING
    RETURNING archive_id
)
SELECT EXISTS (SELECT FROM begun)
    OR EXISTS (SELECT FROM archives WHERE archive_id = $1 AND state = 'begun')
