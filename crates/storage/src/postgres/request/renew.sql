-- Renews the leases of requests that are being answered, and gives those that are to be stopped.
-- $1 user_ids  $2 request_ids  $3 lease_seconds
WITH renewed AS (
    UPDATE requests r
       SET lease_until = clock_timestamp() + $3 * interval '1 second'
      FROM unnest($1, $2) AS mine (user_id, request_id)
     WHERE r.user_id = mine.user_id AND r.request_id = mine.request_id AND r.lease_until IS NOT NULL
    RETURNING r.request_id, r.interrupted_at
)
SELECT request_id FROM renewed WHERE interrupted_at IS NOT NULL
