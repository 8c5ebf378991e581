-- Takes a user's own retention back and records it. Under the holds' lock.
-- $1 user_id  $2 actor
WITH removed AS (
    DELETE FROM retention_overrides WHERE user_id = $1
    RETURNING user_id, idle_days, set_by, set_at
), audited AS (
    INSERT INTO audit_events (actor, on_behalf_of, action, outcome, detail)
    SELECT $2, user_id, 'retention_removed', 'done', '{}' FROM removed
)
SELECT user_id, idle_days, set_by, set_at FROM removed
