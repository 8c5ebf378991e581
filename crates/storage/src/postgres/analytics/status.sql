-- How the database and the schema's tables are doing, as JSON, from the catalogue and the statistics views alone.
-- $1 namespace
WITH tables AS MATERIALIZED (
    SELECT c.oid, c.relname, pg_total_relation_size(c.oid) AS total_bytes, pg_relation_size(c.oid) AS row_bytes,
           coalesce(pg_total_relation_size(nullif(c.reltoastrelid, 0)), 0) AS long_value_bytes,
           pg_indexes_size(c.oid) AS index_bytes,
           -- Never analysed: the server has counted what was inserted and removed.
           CASE WHEN c.reltuples < 0 THEN s.n_live_tup ELSE c.reltuples::bigint END AS rows,
           s.n_dead_tup, greatest(s.last_vacuum, s.last_autovacuum) AS last_vacuum, s.seq_scan
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
     WHERE n.nspname = $1 AND c.relkind IN ('r', 'p')
     ORDER BY total_bytes DESC, c.relname LIMIT 100
), indexes AS MATERIALIZED (
    SELECT c.relname, t.relname AS table_name, pg_relation_size(c.oid) AS bytes, s.idx_scan, i.indisunique,
           -- Of a B-tree, what a new one would take: an item is its line pointer, its header and its columns, on pages that are
           -- nine tenths full. Of an index over expressions nothing is known here.
           (SELECT ceil(greatest(c.reltuples, 0) * (4 + 8 + 8 * ceil(sum(w.avg_width) / 8.0))
                        / (0.9 * (current_setting('block_size')::int - 40)))
                   * current_setting('block_size')::int
              FROM unnest(i.indkey::int2[]) AS k (attnum)
              LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
              LEFT JOIN pg_stats w ON w.schemaname = $1 AND w.tablename = t.relname AND w.attname = a.attname
             WHERE am.amname = 'btree'
            HAVING count(*) = count(w.avg_width) AND count(*) > 0) AS new_bytes
      FROM tables t
      JOIN pg_index i ON i.indrelid = t.oid
      JOIN pg_class c ON c.oid = i.indexrelid
      JOIN pg_am am ON am.oid = c.relam
      LEFT JOIN pg_stat_all_indexes s ON s.indexrelid = c.oid
), activity AS MATERIALIZED (
    SELECT datid, state, xact_start FROM pg_stat_activity
     -- Of other roles' sessions, a role without pg_monitor sees no kind; a process of the server's own has no user.
     WHERE coalesce(backend_type = 'client backend', usesysid IS NOT NULL) AND pid <> pg_backend_pid()
)
SELECT json_build_object(
    'bytes', pg_database_size(current_database()),
    'tables', (
        SELECT coalesce(json_agg(json_build_object(
                   'name', relname, 'total_bytes', total_bytes, 'row_bytes', row_bytes,
                   'long_value_bytes', long_value_bytes, 'index_bytes', index_bytes, 'rows', rows,
                   'dead_rows', n_dead_tup, 'last_vacuum', last_vacuum, 'sequential_scans', seq_scan)
                   ORDER BY total_bytes DESC, relname), '[]')
          FROM tables),
    'indexes', (
        SELECT coalesce(json_agg(json_build_object(
                   'name', relname, 'table', table_name, 'bytes', bytes, 'scans', idx_scan, 'is_unique', indisunique,
                   'bloat_bytes', greatest(bytes - new_bytes, 0)::bigint)
                   ORDER BY bytes DESC, relname), '[]')
          FROM indexes),
    'counted_since', (SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()),
    'connections', (
        SELECT json_build_object(
                   -- Without the one that asks.
                   'used', count(*),
                   'to_this_database', count(*) FILTER (WHERE d.datname = current_database()),
                   'idle_in_transaction', count(*) FILTER (WHERE state LIKE 'idle in transaction%'),
                   'max', current_setting('max_connections')::int
                          - current_setting('superuser_reserved_connections')::int
                          - coalesce(current_setting('reserved_connections', true)::int, 0))
          FROM activity a LEFT JOIN pg_database d ON d.oid = a.datid),
    'oldest_transaction_seconds', (
        SELECT greatest(coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0), 0)::float8
          FROM activity),
    'transaction_ids', (
        SELECT json_build_object('age', age(datfrozenxid),
                                 'freeze_at', current_setting('autovacuum_freeze_max_age')::bigint)
          FROM pg_database WHERE datname = current_database())
)::text
