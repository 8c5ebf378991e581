-- Renews the leases of requests that are being answered, and gives those that are to be stopped.
-- It is asked several times a second: a lease that has most of its time left is not written again.
-- $1 user_ids  $2 request_ids  $3 lease_seconds
WITH mine AS (
    SELECT mine.user_id, mine.request_id FROM unnest($1, $2) AS mine (user_id, request_id)
), renewed AS (
    UPDATE requests r
       SET lease_until = clock_timestamp() + $3 * interval '1 second'
      FROM mine
     WHERE r.user_id = mine.user_id AND r.request_id = mine.request_id AND r.lease_until IS NOT NULL
       AND r.lease_until NOT BETWEEN clock_timestamp() + 0.75 * $3 * interval '1 second'
                                 AND clock_timestamp() + $3 * interval '1 second'
)
SELECT r.request_id
  FROM requests r
  JOIN mine ON r.user_id = mine.user_id AND r.request_id = mine.request_id
 WHERE r.lease_until IS NOT NULL AND r.interrupted_at IS NOT NULL
