-- Begins a request, or locks the one that its key names and takes it over where its lease has run out. That
-- goes by one moment, the new row's; the row that is in the way is seen as it is after the wait for it.
-- $1 user_id  $2 request_id  $3 idempotency_key (null: none)  $4 request_hash  $5 conversation_id  $6 turn_id
-- $7 lease_seconds
INSERT INTO requests AS r (
    user_id, request_id, idempotency_key, request_hash, conversation_id, turn_id, lease_until, created_at)
SELECT $1, $2, $3, $4, $5, $6, at.now + $7 * interval '1 second', at.now
  FROM (SELECT clock_timestamp()) AS at (now)
ON CONFLICT ON CONSTRAINT requests_user_id_idempotency_key_key DO UPDATE
   SET (request_id, lease_until, interrupted_at) = (
       SELECT CASE WHEN free THEN EXCLUDED.request_id ELSE r.request_id END,
              CASE WHEN free THEN EXCLUDED.lease_until ELSE r.lease_until END,
              CASE WHEN NOT free THEN r.interrupted_at END
         FROM (SELECT COALESCE(r.request_hash = EXCLUDED.request_hash
                               AND r.lease_until <= EXCLUDED.created_at, false)) AS it (free))
RETURNING request_id, request_hash, conversation_id, turn_id,
          EXTRACT(EPOCH FROM lease_until - clock_timestamp())::double precision
