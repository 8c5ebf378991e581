ALTER TABLE conversations
    DROP CONSTRAINT conversations_status_check,
    ADD CONSTRAINT conversations_status_check CHECK (status IN ('active', 'archived', 'deleted')),
    ADD CONSTRAINT conversations_turn_count_check CHECK (turn_count >= 0),
    ADD CONSTRAINT conversations_state_revision_check CHECK (state_revision >= 0);

ALTER TABLE conversation_turns
    DROP CONSTRAINT conversation_turns_payload_check,
    ADD CONSTRAINT conversation_turns_turn_number_check CHECK (turn_number >= 1),
    ADD CONSTRAINT conversation_turns_input_messages_check
        CHECK (num_nonnulls(input_messages, input_messages_sealed) = 1),
    ADD CONSTRAINT conversation_turns_output_message_check
        CHECK (num_nonnulls(output_message, output_message_sealed) <= 1),
    ADD CONSTRAINT conversation_turns_content_hash_check CHECK (octet_length(content_hash) = 32);

ALTER TABLE agent_states
    DROP CONSTRAINT agent_states_payload_check,
    ADD CONSTRAINT agent_states_agent_config_check CHECK (num_nonnulls(agent_config, agent_config_sealed) = 1),
    ADD CONSTRAINT agent_states_current_state_check
        CHECK (num_nonnulls(current_state, current_state_sealed) <= 1),
    ADD CONSTRAINT agent_states_revision_check CHECK (revision >= 1),
    ADD CONSTRAINT agent_states_through_turn_check CHECK (through_turn >= 0);
