     LIMIT $5 FOR UPDATE OF c SKIP LOCKED
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
), told AS MATERIALIZED (
    SELECT set_config('lcs.purged', jsonb_build_object('actor', $7::text, 'detail', jsonb_build_object(
               'expired', count(*) FILTER (WHERE reason = 'expired'),
               'deleted', count(*) FILTER (WHERE reason = 'deleted'),
               'turns', sum(turn_count), 'conversation_ids', jsonb_agg(conversation_id))::text)::text, true) AS event
      FROM purged HAVING count(*) > 0
)
SELECT mine.held AND (SELECT event FROM told) IS DISTINCT FROM '', (SELECT max((place::text::point)[0])::bigint FROM due),
       purged.conversation_id, purged.user_id, purged.agent_id, purged.reason
  FROM mine LEFT JOIN purged ON true
