-- The next rows of LCS's conversation cache, by user, conversation and time. Its JSON columns came one after the
-- other: an older cache has not all of them.
-- $1 time_zone  $2 user_id  $3 conversation_id  $4 created_at (of the last row)  $5 limit
SELECT c.user_id, c.conversation_id, c.created_at, c.created_at AT TIME ZONE $1, c.started_at, c.completed_at,
       c.query, c.response, c.provider, c.model, (r.row -> 'referenced_documents')::text,
       (r.row -> 'tool_calls')::text, (r.row -> 'tool_results')::text, v.topic_summary,
       v.last_message_timestamp AT TIME ZONE $1
  FROM cache c
 CROSS JOIN LATERAL (SELECT to_jsonb(c)) AS r (row)
  LEFT JOIN conversations v ON v.user_id = c.user_id AND v.conversation_id = c.conversation_id
 WHERE (c.user_id, c.conversation_id, c.created_at) > ($2, $3, $4)
 ORDER BY c.user_id, c.conversation_id, c.created_at
 LIMIT $5
