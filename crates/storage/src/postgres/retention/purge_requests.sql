-- Removes up to a batch of requests that nobody answers any more and nobody has answered: those whose leases
-- ended long ago, and whose turns were not stored. One that is taken over meanwhile stays.
-- $1 seconds since the end of the lease  $2 limit
WITH stale AS MATERIALIZED (
    SELECT r.user_id, r.request_id FROM requests r
     WHERE r.lease_until < now() - $1 * interval '1 second'
       AND NOT EXISTS (SELECT FROM conversation_turns t
                        WHERE t.user_id = r.user_id AND t.conversation_id = r.conversation_id
                          AND t.turn_id = r.turn_id)
     LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM requests r USING stale
     WHERE r.user_id = stale.user_id AND r.request_id = stale.request_id
    RETURNING r.request_id
)
SELECT count(*) FROM gone
