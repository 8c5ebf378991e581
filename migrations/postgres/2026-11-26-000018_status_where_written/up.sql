-- A status is looked at where one is written. As a CHECK it was read anew, and evaluated, by each append as well,
-- which writes none (docs/adr/0040-status-where-written.md).
CREATE FUNCTION refuse_unknown_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'conversation % cannot have the status %', NEW.conversation_id, NEW.status
        USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'conversations_status_check';
END;
$$;

CREATE TRIGGER conversations_refuse_unknown_status AFTER INSERT OR UPDATE OF status ON conversations
    FOR EACH ROW WHEN (NEW.status !~ '^(active|archived|deleted)$') EXECUTE FUNCTION refuse_unknown_status();

-- An entry for each conversation that has an id of its host's, not for all the others as well. Writers wait while it is
-- made; the one that it replaces goes after that.
CREATE UNIQUE INDEX conversations_user_id_external_id_new ON conversations (user_id, external_id)
    WHERE external_id IS NOT NULL;

ALTER TABLE conversations
    DROP CONSTRAINT conversations_status_check,
    DROP CONSTRAINT conversations_user_id_external_id_key;

ALTER INDEX conversations_user_id_external_id_new RENAME TO conversations_user_id_external_id_key;
