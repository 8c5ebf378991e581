-- Figures of the conversations on the pages that the sample takes, as JSON: of all where it takes 100 percent. The
-- same pages each time, so that two looks can be compared.
-- $1 percent  $2 since  $3 until  $4 active_seconds  $5 archived_seconds
-- $6 deleted_seconds (0: at once)  $7 largest
WITH looked AS MATERIALIZED (
    SELECT conversation_id, user_id, status, created_at, updated_at, turn_count,
           CASE WHEN status = 'deleted' AND $6 = 0 THEN now() - interval '1 second'
                ELSE updated_at + CASE status WHEN 'active' THEN $4 WHEN 'archived' THEN $5 ELSE $6 END
                                  * interval '1 second' END AS due_at
      FROM conversations TABLESAMPLE SYSTEM ($1) REPEATABLE (0)
)
SELECT json_build_object(
    'rows', (SELECT count(*) FROM looked),
    'active', (SELECT count(*) FROM looked WHERE status = 'active'),
    'archived', (SELECT count(*) FROM looked WHERE status = 'archived'),
    'deleted', (SELECT count(*) FROM looked WHERE status = 'deleted'),
    'messages', (
        SELECT json_build_object(
                   'mean', avg(turn_count)::float8,
                   'p50', percentile_disc(0.5) WITHIN GROUP (ORDER BY turn_count),
                   'p95', percentile_disc(0.95) WITHIN GROUP (ORDER BY turn_count),
                   'max', max(turn_count))
          FROM looked WHERE status <> 'deleted' AND updated_at >= $2
        HAVING count(*) > 0),
    'begun', (
        SELECT coalesce(json_object_agg(day, conversations), '{}')
          FROM (SELECT to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, count(*) AS conversations
                  FROM looked WHERE created_at >= $2 AND created_at < $3 GROUP BY 1) begun),
    'due_now', (SELECT count(*) FROM looked WHERE due_at < now()),
    'due', (
        SELECT coalesce(json_object_agg(day, conversations), '{}')
          FROM (SELECT to_char(due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, count(*) AS conversations
                  FROM looked WHERE due_at >= now() AND due_at < now() + interval '31 days' GROUP BY 1) due),
    'largest', (
        SELECT coalesce(json_agg(json_build_array(
                   conversation_id, user_id, turn_count, updated_at) ORDER BY turn_count DESC, conversation_id), '[]')
          FROM (SELECT conversation_id, user_id, turn_count, updated_at FROM looked WHERE status <> 'deleted'
                 ORDER BY turn_count DESC, conversation_id LIMIT $7) largest)
)::text
