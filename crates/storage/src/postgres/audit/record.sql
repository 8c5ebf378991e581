-- Adds to the audit log: a trigger gives the row its place, its time and its hashes.
-- $1 actor  $2 on_behalf_of  $3 action  $4 conversation_id  $5 outcome  $6 detail
WITH recorded AS (
    INSERT INTO audit_events (actor, on_behalf_of, action, conversation_id, outcome, detail)
    VALUES ($1, $2, $3, $4, $5, $6)
)
SELECT true
