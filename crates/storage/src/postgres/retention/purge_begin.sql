-- Removes up to a batch of conversations that may go, and leaves a tombstone for each; unless no lane was free,
-- which is said. The condition is checked again on each row when its lock is taken: what has woken up
-- meanwhile stays, what somebody else holds, the batch in the other lane too, is passed over. Holds and users' own retention
-- cannot change meanwhile: it runs under their lock (locked.rs). Turns and states go with their conversation by their foreign keys. What was
-- removed is told to the statement behind this one, which records it (locked.rs). One row without a conversation where nothing was removed.
-- $1 active_seconds  $2 archived_seconds  $3 deleted_seconds  $4 expires (false: only what was deleted)
-- $5 limit  $6 from_page (what is before it in the table is not looked at)  $7 actor
WITH mine AS MATERIALIZED (
    SELECT current_setting('lcs.purges')::boolean AS held
), due AS MATERIALIZED (
    SELECT c.ctid AS place, c.conversation_id, c.user_id, c.agent_id,
           CASE WHEN c.status = 'deleted' THEN 'deleted' ELSE 'expired' END AS reason
      FROM conversations c LEFT JOIN retention_overrides o ON o.user_id = c.user_id
     WHERE (SELECT held FROM mine) AND c.ctid >= format('(%s,0)', $6)::tid AND
