-- The request of this id and key: asked only when the id was in use.
-- $1 user_id  $2 request_id  $3 idempotency_key
SELECT request_id, request_hash, conversation_id, turn_id,
       EXTRACT(EPOCH FROM lease_until - clock_timestamp())::double precision
  FROM requests
 WHERE user_id = $1 AND request_id = $2 AND idempotency_key IS NOT DISTINCT FROM $3
