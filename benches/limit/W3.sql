\set n :hot + random(1, :history)
SELECT turn_id, turn_number, input_messages, output_message, started_at, completed_at, metadata FROM conversation_turns WHERE conversation_id = md5('conv-' || CAST(:n AS text))::uuid ORDER BY turn_number;
