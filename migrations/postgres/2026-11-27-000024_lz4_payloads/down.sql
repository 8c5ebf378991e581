ALTER TABLE conversation_turns RESET (toast_tuple_target);

DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression') THEN
        EXECUTE 'ALTER TABLE conversation_turns
            ALTER input_messages SET COMPRESSION default,
            ALTER output_message SET COMPRESSION default,
            ALTER metadata SET COMPRESSION default';
        EXECUTE 'ALTER TABLE agent_states
            ALTER agent_config SET COMPRESSION default,
            ALTER current_state SET COMPRESSION default';
    END IF;
END $$;
