-- Places a hold and records it, unless it is placed already: that one is given then. Under the holds' lock: what
-- is there now stays until it is released. No row where the conversation is not there.
-- $1 hold_id  $2 user_id (null: the conversation's)  $3 conversation_id (null: all of the user's)  $4 reason  $5 placed_by
WITH target AS (
    SELECT c.user_id, c.conversation_id FROM conversations c WHERE c.conversation_id = $3
    UNION ALL
    SELECT $2, NULL WHERE $2 IS NOT NULL
), placed AS (
    INSERT INTO holds (hold_id, user_id, conversation_id, reason, placed_by)
    SELECT $1, user_id, conversation_id, $4, $5 FROM target
    ON CONFLICT ON CONSTRAINT holds_pkey DO NOTHING
    RETURNING hold_id, user_id, conversation_id, reason, placed_by, placed_at, released_at, released_by
), audited AS (
    INSERT INTO audit_events (actor, on_behalf_of, action, conversation_id, outcome, detail)
    SELECT placed_by, user_id, 'hold_placed', conversation_id, 'done', '{"hold_id":"' || hold_id || '"}' FROM placed
)
SELECT * FROM placed
UNION ALL
SELECT hold_id, user_id, conversation_id, reason, placed_by, placed_at, released_at, released_by
  FROM holds WHERE hold_id = $1
