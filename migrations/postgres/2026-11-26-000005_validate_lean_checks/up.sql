-- In a transaction of its own: it reads the tables, and lets others write meanwhile.

ALTER TABLE conversations VALIDATE CONSTRAINT conversations_status_check;
ALTER TABLE conversation_turns VALIDATE CONSTRAINT conversation_turns_payload_check;
ALTER TABLE agent_states VALIDATE CONSTRAINT agent_states_payload_check;
