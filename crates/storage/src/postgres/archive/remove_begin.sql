-- Removes conversations that an archive holds, with tombstones that name it, as a purge does (retention/purge_end.sql).
-- The condition is checked again on each row when its lock is taken: what has woken up or was changed since it was
-- archived stays. Nothing where the archive is not begun. Holds cannot change meanwhile: it runs under their lock
-- (locked.rs), and what is told to the statement behind this one records it.
-- $1 active_seconds  $2 archived_seconds  $3 deleted_seconds  $4 expires  $5 archive_id  $6 conversation_ids
-- $7 turn_counts  $8 state_revisions  $9 updated_at  $10 actor
WITH archive AS MATERIALIZED (
    SELECT archive_id FROM archives WHERE archive_id = $5 AND state = 'begun' FOR UPDATE
), due AS MATERIALIZED (
    SELECT c.conversation_id, c.user_id
      FROM unnest($6, $7, $8, $9) AS h (conversation_id, turn_count, state_revision, updated_at)
      JOIN conversations c ON c.conversation_id = h.conversation_id
      LEFT JOIN retention_overrides o ON o.user_id = c.user_id
     WHERE EXISTS (SELECT FROM archive)
       AND c.turn_count = h.turn_count AND c.state_revision = h.state_revision AND c.updated_at = h.updated_at
       AND c.status <> 'deleted' AND
