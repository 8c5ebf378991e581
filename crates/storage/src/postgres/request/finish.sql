-- Marks the request as answered; one without a key is forgotten.
-- $1 user_id  $2 request_id
WITH forgotten AS (
    DELETE FROM requests WHERE user_id = $1 AND request_id = $2 AND idempotency_key IS NULL
    RETURNING request_id
), answered AS (
    UPDATE requests SET lease_until = NULL
     WHERE user_id = $1 AND request_id = $2 AND idempotency_key IS NOT NULL
    RETURNING request_id
)
SELECT request_id FROM forgotten UNION ALL SELECT request_id FROM answered
