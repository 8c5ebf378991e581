-- The next threads of LangGraph's checkpoints, each as of its newest checkpoint of the outermost graph: when that
-- and the first one were written, and the messages that it has. Of messages that are too long, how long they are. What
-- is asked for its length is not read.
-- $1 thread_id (of the last row)  $2 limit  $3 the most bytes of a thread's messages  $4 no thread comes behind so many
WITH newest AS (
    SELECT DISTINCT ON (c.thread_id) c.thread_id, c.checkpoint
      FROM checkpoints c
     WHERE c.checkpoint_ns = '' AND c.thread_id > $1
     ORDER BY c.thread_id, c.checkpoint_id DESC
     LIMIT $2
), measured AS (
    SELECT n.thread_id, n.checkpoint ->> 'ts' AS changed_at, b.type, b.version,
           octet_length(b.blob)::bigint AS bytes, octet_length(b.blob) > $3 AS is_too_long
      FROM newest n
      LEFT JOIN checkpoint_blobs b
        ON b.thread_id = n.thread_id AND b.checkpoint_ns = '' AND b.channel = 'messages'
       AND b.version = n.checkpoint -> 'channel_versions' ->> 'messages'
), page AS (
    SELECT m.*, COALESCE(sum(CASE WHEN is_too_long THEN 0 ELSE bytes END)
                         OVER (ORDER BY thread_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
      FROM measured m
)
SELECT p.thread_id, first.checkpoint ->> 'ts', p.changed_at, p.type,
       CASE WHEN NOT p.is_too_long THEN b.blob END, CASE WHEN p.is_too_long THEN p.bytes END
  FROM page p
 CROSS JOIN LATERAL (
     SELECT f.checkpoint FROM checkpoints f
      WHERE f.thread_id = p.thread_id AND f.checkpoint_ns = ''
      ORDER BY f.checkpoint_id LIMIT 1) AS first
  LEFT JOIN checkpoint_blobs b
    ON b.thread_id = p.thread_id AND b.checkpoint_ns = '' AND b.channel = 'messages' AND b.version = p.version
 WHERE p.before < $4
 ORDER BY p.thread_id
