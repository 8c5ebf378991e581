-- The state of a deleted conversation's agent is not shown: it knows by itself that it is one, so that reading a state
-- reads one row and not two (docs/adr/0033-state-of-deleted.md). A trigger keeps it, for whoever deletes. It looks
-- beside its own table: the search path is the writer's.
--
-- The table is locked for a moment; then the states of what is deleted already are marked.

ALTER TABLE agent_states ADD COLUMN is_deleted boolean NOT NULL DEFAULT false;

CREATE FUNCTION hide_state_of_deleted_conversation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('UPDATE %I.agent_states SET is_deleted = true WHERE conversation_id = $1 AND user_id = $2',
                   TG_TABLE_SCHEMA)
        USING NEW.conversation_id, NEW.user_id;
    RETURN NULL;
END;
$$;

CREATE TRIGGER conversations_hide_state AFTER UPDATE OF status ON conversations
    FOR EACH ROW WHEN (NEW.status = 'deleted') EXECUTE FUNCTION hide_state_of_deleted_conversation();

UPDATE agent_states s SET is_deleted = true
  FROM conversations c
 WHERE c.user_id = s.user_id AND c.conversation_id = s.conversation_id AND c.status = 'deleted';
