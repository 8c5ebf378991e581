-- Removes what else there is of a target when its conversations are gone.
-- $1 user_id  $2 conversation_id (one of them is null)  $3 user_hash (null where it is a conversation)
WITH asked AS (
    DELETE FROM requests WHERE user_id = $1 OR conversation_id = $2 RETURNING request_id
), released AS (
    DELETE FROM holds WHERE released_at IS NOT NULL AND (user_id = $1 OR conversation_id = $2) RETURNING hold_id
), own AS (
    DELETE FROM retention_overrides WHERE user_id = $1 RETURNING user_id
), marked AS (
    UPDATE conversation_tombstones SET reason = 'erased'
     WHERE reason <> 'erased' AND (user_hash = $3 OR conversation_id = $2)
    RETURNING conversation_id
)
SELECT (SELECT count(*) FROM asked), (SELECT count(*) FROM released), (SELECT count(*) FROM own),
       (SELECT count(*) FROM marked)
