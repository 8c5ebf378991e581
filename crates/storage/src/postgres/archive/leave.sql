-- No archive holds these conversations any more, or all of a user's: the tombstones say so, the archives that held
-- them are stale, and so are those that are begun, or given up where nothing is archived in them. How many there were.
-- Where a legal hold is on any of it, nothing is done, and it is told which.
-- $1 conversation_ids  $2 user_hash (null: the conversations; else the user's)
WITH held AS MATERIALIZED (
    SELECT h.hold_id, h.reason FROM holds h
     WHERE h.released_at IS NULL
       AND CASE WHEN $2 IS NOT NULL THEN sha256(uuid_send(h.user_id)) = $2
                ELSE h.conversation_id IS NULL
                     AND EXISTS (SELECT FROM conversation_tombstones t
                                  WHERE t.archive_id IS NOT NULL AND t.conversation_id = ANY ($1)
                                    AND t.user_hash = sha256(uuid_send(h.user_id))) END
     ORDER BY h.hold_id LIMIT 1
), leaving AS MATERIALIZED (
    SELECT conversation_id, archive_id FROM conversation_tombstones
     WHERE archive_id IS NOT NULL AND NOT EXISTS (SELECT FROM held)
       AND CASE WHEN $2 IS NULL THEN conversation_id = ANY ($1) ELSE user_hash = $2 END
     ORDER BY conversation_id FOR UPDATE
), erased AS (
    UPDATE conversation_tombstones t
       SET archive_id = NULL, reason = CASE reason WHEN 'expired' THEN 'erased' ELSE reason END
      FROM leaving
     WHERE t.conversation_id = leaving.conversation_id
), touched AS (
    UPDATE archives a
       SET state = CASE WHEN EXISTS (SELECT FROM conversation_tombstones t
                                      WHERE t.archive_id = a.archive_id
                                        AND NOT EXISTS (SELECT FROM leaving l
                                                         WHERE l.conversation_id = t.conversation_id))
                        THEN 'stale' ELSE 'given_up' END
     WHERE NOT EXISTS (SELECT FROM held)
       AND (a.state = 'begun' OR a.archive_id IN (SELECT archive_id FROM leaving))
)
SELECT (SELECT count(*) FROM leaving), (SELECT hold_id FROM held), (SELECT reason FROM held)
