-- Documents are compressed with LZ4 where the server has it, and turns of up to a third of a page stay in their row
-- (docs/adr/0042-lz4-payloads.md). It holds for what is written from now on: no row is read or written here.
ALTER TABLE conversation_turns SET (toast_tuple_target = 2712);

-- PostgreSQL 13 has no such clause, and a server may have been built without LZ4.
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_settings
                WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
        EXECUTE 'ALTER TABLE conversation_turns
            ALTER input_messages SET COMPRESSION lz4,
            ALTER output_message SET COMPRESSION lz4,
            ALTER metadata SET COMPRESSION lz4';
        EXECUTE 'ALTER TABLE agent_states
            ALTER agent_config SET COMPRESSION lz4,
            ALTER current_state SET COMPRESSION lz4';
    END IF;
END $$;
