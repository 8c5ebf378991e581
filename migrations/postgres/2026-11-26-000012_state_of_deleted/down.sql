DROP TRIGGER conversations_hide_state ON conversations;
DROP FUNCTION hide_state_of_deleted_conversation;
ALTER TABLE agent_states DROP COLUMN is_deleted;
