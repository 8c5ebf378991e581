-- Forgets the request, unless it is answered.
-- $1 user_id  $2 request_id
DELETE FROM requests WHERE user_id = $1 AND request_id = $2 AND lease_until IS NOT NULL
RETURNING request_id
