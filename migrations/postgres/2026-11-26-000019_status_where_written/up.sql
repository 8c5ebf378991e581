-- A status is looked at where one is written. As a CHECK it was read anew, and evaluated, by each append as well,
-- which writes none (docs/adr/0040-status-where-written.md). And the index that the last migration made takes the place
-- of the constraint's.
--
-- The strongest lock first: whoever waits for it holds nothing that this waits for.
LOCK TABLE conversations IN ACCESS EXCLUSIVE MODE;

CREATE FUNCTION refuse_unknown_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'conversation % cannot have the status %', NEW.conversation_id, NEW.status
        USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = 'conversations_status_check';
END;
$$;

CREATE TRIGGER conversations_refuse_unknown_status AFTER INSERT OR UPDATE OF status ON conversations
    FOR EACH ROW WHEN (NEW.status !~ '^(active|archived|deleted)$') EXECUTE FUNCTION refuse_unknown_status();

ALTER TABLE conversations
    DROP CONSTRAINT conversations_status_check,
    DROP CONSTRAINT conversations_user_id_external_id_key;

ALTER INDEX conversations_user_id_external_id_new RENAME TO conversations_user_id_external_id_key;
