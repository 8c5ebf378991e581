-- Removes up to a batch of conversations that may go, and leaves a tombstone for each; unless somebody else is
-- at it, which is said. The condition is checked again on each row when its lock is taken: what has woken up
-- meanwhile stays, what somebody else holds is passed over. Turns and states go with their conversation by
-- their foreign keys. What was removed is recorded in the audit log, in one row; the rest of the statement waits
-- for nobody's lock. One row without a conversation where nothing was removed.
-- $1 idle_seconds  $2 limit  $3 from_page (what is before it in the table is not looked at)  $4 actor
WITH mine AS MATERIALIZED (
    -- Until this statement has ended. Each schema has a lock of its own.
    SELECT pg_try_advisory_xact_lock(hashtext('lcs-persistence retention'), hashtext(current_schema())) AS held
), due AS MATERIALIZED (
    SELECT c.ctid AS place, c.conversation_id, c.user_id, c.agent_id,
           CASE WHEN c.status = 'deleted' THEN 'deleted' ELSE 'expired' END AS reason
      FROM conversations c
     WHERE (SELECT held FROM mine) AND c.ctid >= format('(%s,0)', $3)::tid
       AND (c.status = 'deleted' OR c.updated_at < now() - $1 * interval '1 second')
     LIMIT $2 FOR UPDATE SKIP LOCKED
), purged AS (
    DELETE FROM conversations c USING due
     WHERE c.user_id = due.user_id AND c.conversation_id = due.conversation_id
    RETURNING due.conversation_id, due.user_id, due.agent_id, due.reason, c.turn_count
), requests AS (
    DELETE FROM requests r USING purged
     WHERE r.user_id = purged.user_id AND r.conversation_id = purged.conversation_id
), tombstone AS (
    INSERT INTO conversation_tombstones (conversation_id, user_hash, reason)
    SELECT conversation_id, sha256(uuid_send(user_id)), reason FROM purged
    ON CONFLICT ON CONSTRAINT conversation_tombstones_pkey DO NOTHING
), audited AS (
    INSERT INTO audit_events (actor, action, outcome, detail)
    SELECT $4, 'purge', 'done', jsonb_build_object(
               'expired', count(*) FILTER (WHERE reason = 'expired'),
               'deleted', count(*) FILTER (WHERE reason = 'deleted'),
               'turns', sum(turn_count), 'conversation_ids', jsonb_agg(conversation_id))::text
      FROM purged HAVING count(*) > 0
)
SELECT mine.held, (SELECT max((place::text::point)[0])::bigint FROM due),
       purged.conversation_id, purged.user_id, purged.agent_id, purged.reason
  FROM mine LEFT JOIN purged ON true
