-- The next threads of LangGraph's checkpoints, each as of its newest checkpoint of the outermost graph: when that
-- and the first one were written, and the messages that it has.
-- $1 thread_id (of the last row)  $2 limit
WITH newest AS (
    SELECT DISTINCT ON (c.thread_id) c.thread_id, c.checkpoint
      FROM checkpoints c
     WHERE c.checkpoint_ns = '' AND c.thread_id > $1
     ORDER BY c.thread_id, c.checkpoint_id DESC
     LIMIT $2
)
SELECT n.thread_id, first.checkpoint ->> 'ts', n.checkpoint ->> 'ts', b.type, b.blob
  FROM newest n
 CROSS JOIN LATERAL (
     SELECT f.checkpoint FROM checkpoints f
      WHERE f.thread_id = n.thread_id AND f.checkpoint_ns = ''
      ORDER BY f.checkpoint_id LIMIT 1) AS first
  LEFT JOIN checkpoint_blobs b
    ON b.thread_id = n.thread_id AND b.checkpoint_ns = '' AND b.channel = 'messages'
   AND b.version = n.checkpoint -> 'channel_versions' ->> 'messages'
 ORDER BY n.thread_id
