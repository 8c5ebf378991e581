-- Sets a user's own retention and records it. Under the holds' lock.
-- $1 user_id  $2 idle_days  $3 set_by
WITH changed AS (
    INSERT INTO retention_overrides (user_id, idle_days, set_by) VALUES ($1, $2, $3)
    ON CONFLICT ON CONSTRAINT retention_overrides_pkey
    DO UPDATE SET idle_days = EXCLUDED.idle_days, set_by = EXCLUDED.set_by, set_at = clock_timestamp()
    RETURNING user_id, idle_days, set_by, set_at
), audited AS (
    INSERT INTO audit_events (actor, on_behalf_of, action, outcome, detail)
    SELECT set_by, user_id, 'retention_set', 'done', CASE WHEN idle_days IS NULL THEN '{"keep":"forever"}'
               ELSE '{"days":' || idle_days || '}' END
      FROM changed
)
SELECT user_id, idle_days, set_by, set_at FROM changed
