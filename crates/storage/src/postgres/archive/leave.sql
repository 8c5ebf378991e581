-- No archive holds these conversations any more, or all of a user's: the tombstones say so, the archives that held
-- them are stale, and so are those that are begun, or given up where nothing is archived in them. How many there were.
-- $1 conversation_ids  $2 user_hash (null: the conversations; else the user's)
WITH leaving AS MATERIALIZED (
    SELECT conversation_id, archive_id FROM conversation_tombstones
     WHERE archive_id IS NOT NULL
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
                                      WHERE t.archive_id = a.archive_id AND t.reason = 'expired'
                                        AND NOT EXISTS (SELECT FROM leaving l
                                                         WHERE l.conversation_id = t.conversation_id))
                        THEN 'stale' ELSE 'given_up' END
     WHERE a.state = 'begun' OR a.archive_id IN (SELECT archive_id FROM leaving)
)
SELECT count(*) FROM leaving
