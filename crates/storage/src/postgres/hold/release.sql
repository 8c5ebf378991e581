-- Releases a hold and records it; one that is released already is given as it is. Under the holds' lock.
-- $1 hold_id  $2 released_by
WITH released AS (
    UPDATE holds SET released_at = clock_timestamp(), released_by = $2
     WHERE hold_id = $1 AND released_at IS NULL
    RETURNING hold_id, user_id, conversation_id, reason, placed_by, placed_at, released_at, released_by
), audited AS (
    INSERT INTO audit_events (actor, on_behalf_of, action, conversation_id, outcome, detail)
    SELECT released_by, user_id, 'hold_released', conversation_id, 'done', '{"hold_id":"' || hold_id || '"}'
      FROM released
)
SELECT * FROM released
UNION ALL
SELECT hold_id, user_id, conversation_id, reason, placed_by, placed_at, released_at, released_by
  FROM holds WHERE hold_id = $1 AND released_at IS NOT NULL
