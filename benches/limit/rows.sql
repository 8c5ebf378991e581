-- The rows of the benchmark in the limit's schema, out of the temporary table `payloads`.
INSERT INTO conversations (conversation_id, user_id, agent_id, model_id, system_prompt, created_at, updated_at,
                           metadata, turn_count)
SELECT md5('conv-' || n)::uuid, md5('user-' || (n - 1) / {conversations_per_user} + 1)::uuid,
       md5('agent-' || n)::uuid, 'gpt-4o-mini', 'You are a helpful assistant.', changed.at, changed.at, p.metadata,
       CASE WHEN n <= {hot} THEN 10 WHEN n <= {hot} + {history} THEN 50 ELSE 0 END
  FROM generate_series(1, {users} * {conversations_per_user}) AS n
  JOIN payloads p ON p.variant = n % 64,
       LATERAL (SELECT now() - interval '1 s' * (n::bigint * 7919 % 8640000)) AS changed (at);

INSERT INTO conversation_turns (turn_id, conversation_id, turn_number, input_messages, output_message, started_at,
                                completed_at, metadata)
SELECT gen_random_uuid(), md5('conv-' || n)::uuid, k, p.input_messages, p.output_message, now(), now(), p.metadata
  FROM generate_series(1, {hot} + {history}) AS n,
       generate_series(1, CASE WHEN n <= {hot} THEN 10 ELSE 50 END) AS k,
       payloads p
 WHERE p.variant = (n + k) % 64;

INSERT INTO agent_states (agent_id, conversation_id, agent_config, current_state)
SELECT md5('agent-' || n)::uuid, md5('conv-' || n)::uuid, p.agent_config, p.current_state
  FROM generate_series(1, {hot}) AS n
  JOIN payloads p ON p.variant = n % 64;
