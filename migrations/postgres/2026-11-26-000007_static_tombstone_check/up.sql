-- P6 at the same price that a foreign key has: the function that looks for a tombstone after each insert had its
-- query parsed and planned anew each time, which was a third of what beginning a conversation cost the server.
-- Here it names its schema and is planned once a connection. In a schema that was renamed since, it looks as it did
-- before.
DO $migration$
BEGIN
    EXECUTE format($function$
        CREATE OR REPLACE FUNCTION %1$I.refuse_tombstoned_conversation() RETURNS trigger LANGUAGE plpgsql AS $body$
        DECLARE
            purged boolean;
        BEGIN
            IF TG_TABLE_SCHEMA = %1$L THEN
                purged := EXISTS (SELECT FROM %1$I.conversation_tombstones
                                   WHERE conversation_id = NEW.conversation_id);
            ELSE
                EXECUTE format('SELECT EXISTS (SELECT FROM %%I.conversation_tombstones WHERE conversation_id = $1)',
                               TG_TABLE_SCHEMA)
                    INTO purged USING NEW.conversation_id;
            END IF;
            IF purged THEN
                RAISE EXCEPTION 'conversation %% has been purged', NEW.conversation_id
                    USING ERRCODE = 'unique_violation', TABLE = 'conversations',
                          CONSTRAINT = 'conversation_tombstones_pkey';
            END IF;
            RETURN NULL;
        END;
        $body$
    $function$, (SELECT nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                  WHERE c.oid = 'conversations'::regclass));
END;
$migration$;
