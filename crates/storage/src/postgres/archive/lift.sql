-- Lifts the tombstones of what an archive holds, so that it can be stored again: their conversations. Whoever replaces
-- the archive waits for its row.
-- $1 archive_id  $2 conversation_ids
WITH archive AS MATERIALIZED (
    UPDATE archives SET state = 'stale'
     WHERE archive_id = $1 AND state IN ('complete', 'stale')
    RETURNING archive_id
)
DELETE FROM conversation_tombstones t USING archive
 WHERE t.archive_id = archive.archive_id AND t.reason = 'expired' AND t.conversation_id = ANY ($2)
RETURNING t.conversation_id
