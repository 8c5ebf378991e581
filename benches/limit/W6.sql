\set u random(1, :users)
INSERT INTO conversations (conversation_id, user_id, agent_id, model_id, system_prompt, metadata) VALUES (gen_random_uuid(), md5('user-' || CAST(:u AS text))::uuid, gen_random_uuid(), 'gpt-4o-mini', 'You are a helpful assistant.', CAST(:metadata AS jsonb));
