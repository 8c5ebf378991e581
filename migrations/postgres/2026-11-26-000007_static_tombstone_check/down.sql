CREATE OR REPLACE FUNCTION refuse_tombstoned_conversation() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    purged boolean;
BEGIN
    EXECUTE format('SELECT EXISTS (SELECT FROM %I.conversation_tombstones WHERE conversation_id = $1)',
                   TG_TABLE_SCHEMA)
        INTO purged USING NEW.conversation_id;
    IF purged THEN
        RAISE EXCEPTION 'conversation % has been purged', NEW.conversation_id
            USING ERRCODE = 'unique_violation', TABLE = 'conversations',
                  CONSTRAINT = 'conversation_tombstones_pkey';
    END IF;
    RETURN NULL;
END;
$$;
