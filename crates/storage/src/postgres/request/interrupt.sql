-- Has the request stopped, if it is being answered; no row where there is none.
-- $1 user_id  $2 request_id
WITH known AS MATERIALIZED (
    SELECT request_id, lease_until > clock_timestamp() AS runs FROM requests
     WHERE user_id = $1 AND request_id = $2 FOR NO KEY UPDATE
), told AS (
    UPDATE requests r SET interrupted_at = COALESCE(r.interrupted_at, clock_timestamp())
      FROM known
     WHERE r.user_id = $1 AND r.request_id = $2 AND known.runs
)
SELECT COALESCE(runs, false) FROM known
