     ORDER BY c.conversation_id FOR UPDATE OF c
), purged AS (
    DELETE FROM conversations c USING due
     WHERE c.user_id = due.user_id AND c.conversation_id = due.conversation_id
    RETURNING due.conversation_id, due.user_id, c.turn_count
), requests AS (
    DELETE FROM requests r USING purged
     WHERE r.user_id = purged.user_id AND r.conversation_id = purged.conversation_id
), tombstone AS (
    INSERT INTO conversation_tombstones (conversation_id, user_hash, reason, archive_id)
    SELECT conversation_id, sha256(uuid_send(user_id)), 'expired', $5 FROM purged
), told AS MATERIALIZED (
    SELECT set_config('lcs.purged', jsonb_build_object('actor', $10::text, 'action', 'archive',
               'detail', jsonb_build_object(
                   'archive_id', $5, 'conversations', count(*), 'turns', sum(turn_count),
                   'conversation_ids', jsonb_agg(conversation_id))::text)::text, true) AS event
      FROM purged HAVING count(*) > 0
)
SELECT EXISTS (SELECT FROM archive) AND (SELECT event FROM told) IS DISTINCT FROM '', (SELECT count(*) FROM purged)
