-- What is known of the turns of locked conversations without reading them. A statement of its own: what was appended
-- while the lock was waited for is seen.
-- $1 user_id  $2 conversation_ids
SELECT conversation_id, count(*), string_agg(content_hash, ''::bytea ORDER BY turn_number)
  FROM conversation_turns
 WHERE user_id = $1 AND conversation_id = ANY($2)
 GROUP BY conversation_id
