-- Figures of the turns on the pages that the sample takes, as JSON; see conversations.sql. No payload is read, and
-- no metadata of a turn outside the window.
-- $1 percent  $2 since  $3 until
WITH looked AS MATERIALIZED (
    SELECT completed_at, is_in,
           CASE WHEN is_in THEN greatest(floor(extract(epoch FROM completed_at - started_at) * 1000), 0)::bigint
            END AS latency_ms,
           CASE WHEN is_in THEN left(metadata ->> 'lcs:provider', 200) END AS provider,
           CASE WHEN is_in THEN left(metadata ->> 'lcs:model', 200) END AS model,
           CASE WHEN is_in AND jsonb_typeof(metadata -> 'lcs:input_tokens') = 'number'
                THEN trunc(greatest((metadata ->> 'lcs:input_tokens')::numeric, 0)) END AS input_tokens,
           CASE WHEN is_in AND jsonb_typeof(metadata -> 'lcs:output_tokens') = 'number'
                THEN trunc(greatest((metadata ->> 'lcs:output_tokens')::numeric, 0)) END AS output_tokens,
           is_in AND metadata ? 'lcs:interrupted' AS interrupted,
           is_in AND metadata ? 'lcs:interleaved' AS interleaved,
           is_in AND metadata ? 'lcs:late' AS late
      FROM conversation_turns TABLESAMPLE SYSTEM ($1) REPEATABLE (0),
           LATERAL (SELECT completed_at >= $2 AND completed_at < $3) AS bounds (is_in)
)
SELECT json_build_object(
    'rows', (SELECT count(*) FROM looked),
    'marks', (
        SELECT json_build_array(count(*) FILTER (WHERE interrupted), count(*) FILTER (WHERE interleaved),
                                count(*) FILTER (WHERE late))
          FROM looked),
    'latency_ms', (
        SELECT json_build_object(
                   'mean', avg(latency_ms)::float8,
                   'p50', percentile_disc(0.5) WITHIN GROUP (ORDER BY latency_ms),
                   'p95', percentile_disc(0.95) WITHIN GROUP (ORDER BY latency_ms),
                   'max', max(latency_ms))
          FROM looked WHERE is_in
        HAVING count(*) > 0),
    'ended', (
        SELECT coalesce(json_object_agg(day, turns), '{}')
          FROM (SELECT to_char(completed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS day, count(*) AS turns
                  FROM looked WHERE is_in GROUP BY 1) ended),
    'models', (
        SELECT coalesce(json_agg(json_build_array(provider, model, turns, input_tokens, output_tokens)), '[]')
          FROM (SELECT provider, model, count(*) AS turns,
                       -- More than this is no number that JSON has.
                       least(coalesce(sum(input_tokens), 0), 9007199254740991) AS input_tokens,
                       least(coalesce(sum(output_tokens), 0), 9007199254740991) AS output_tokens
                  FROM looked WHERE is_in GROUP BY provider, model) models)
)::text
