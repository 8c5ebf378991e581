-- Deletes the conversation for its user, for ever, and records that.
-- $1 user_id  $2 conversation_id  $3 actor
WITH deleted AS (
    UPDATE conversations SET status = 'deleted', updated_at = GREATEST(updated_at, clock_timestamp())
     WHERE user_id = $1 AND conversation_id = $2 AND status <> 'deleted'
    RETURNING user_id, conversation_id, turn_count
), audited AS (
    INSERT INTO audit_events (actor, on_behalf_of, action, conversation_id, outcome, detail)
    SELECT $3, user_id, 'conversation_deleted', conversation_id, 'done', '{"turns":' || turn_count || '}'
      FROM deleted
)
SELECT conversation_id FROM deleted
