//! The tables as Diesel knows them: written by hand, with every number read as the 64 bits that SQLite
//! keeps, so that a damaged one is seen and not cut to size.

diesel::table! {
    conversations (conversation_id) {
        conversation_id -> Binary,
        user_id -> Binary,
        agent_id -> Binary,
        model_id -> Text,
        system_prompt -> Nullable<Text>,
        created_at -> BigInt,
        updated_at -> BigInt,
        status -> Text,
        metadata -> Text,
        turn_count -> BigInt,
        state_revision -> BigInt,
        topic_summary -> Nullable<Text>,
        external_id -> Nullable<Text>,
    }
}

diesel::table! {
    conversation_turns (turn_id) {
        turn_id -> Binary,
        conversation_id -> Binary,
        user_id -> Binary,
        turn_number -> BigInt,
        input_messages -> Nullable<Text>,
        input_messages_sealed -> Nullable<Binary>,
        output_message -> Nullable<Text>,
        output_message_sealed -> Nullable<Binary>,
        started_at -> BigInt,
        completed_at -> BigInt,
        metadata -> Text,
        content_hash -> Binary,
    }
}

diesel::table! {
    agent_states (agent_id) {
        agent_id -> Binary,
        conversation_id -> Binary,
        user_id -> Binary,
        agent_config -> Nullable<Text>,
        agent_config_sealed -> Nullable<Binary>,
        current_state -> Nullable<Text>,
        current_state_sealed -> Nullable<Binary>,
        created_at -> BigInt,
        updated_at -> BigInt,
        revision -> BigInt,
        through_turn -> BigInt,
    }
}

diesel::table! {
    conversation_tombstones (conversation_id) {
        conversation_id -> Binary,
        user_hash -> Binary,
        reason -> Text,
        at -> BigInt,
        archive_id -> Nullable<Binary>,
    }
}

diesel::table! {
    archives (archive_id) {
        archive_id -> Binary,
        state -> Text,
        begun_at -> BigInt,
        conversations -> BigInt,
        turns -> BigInt,
        bytes -> BigInt,
    }
}

diesel::table! {
    restorations (conversation_id) {
        conversation_id -> Binary,
        keep_until -> BigInt,
    }
}

diesel::table! {
    requests (request_id) {
        request_id -> Binary,
        user_id -> Binary,
        idempotency_key -> Nullable<Text>,
        request_hash -> Binary,
        conversation_id -> Binary,
        turn_id -> Binary,
        lease_until -> Nullable<BigInt>,
        interrupted_at -> Nullable<BigInt>,
        created_at -> BigInt,
    }
}

diesel::table! {
    audit_events (sequence) {
        sequence -> BigInt,
        at -> BigInt,
        actor -> Text,
        on_behalf_of -> Nullable<Binary>,
        action -> Text,
        conversation_id -> Nullable<Binary>,
        outcome -> Text,
        detail -> Text,
        previous_hash -> Binary,
        hash -> Binary,
    }
}

diesel::table! {
    audit_head (is_only) {
        is_only -> BigInt,
        sequence -> BigInt,
        hash -> Binary,
    }
}

diesel::table! {
    holds (hold_id) {
        hold_id -> Binary,
        user_id -> Binary,
        conversation_id -> Nullable<Binary>,
        reason -> Text,
        placed_by -> Text,
        placed_at -> BigInt,
        released_at -> Nullable<BigInt>,
        released_by -> Nullable<Text>,
    }
}

diesel::table! {
    erasures (erasure_id) {
        erasure_id -> Binary,
        sequence -> BigInt,
        user_hash -> Nullable<Binary>,
        conversation_id -> Nullable<Binary>,
        begun_at -> BigInt,
        erased_at -> BigInt,
        conversations -> BigInt,
        turns -> BigInt,
        agent_states -> BigInt,
        requests -> BigInt,
        holds -> BigInt,
        retention_overrides -> BigInt,
        tombstones -> BigInt,
        content_hash -> Binary,
        certificate -> Nullable<Text>,
        audit_sequence -> Nullable<BigInt>,
        audit_hash -> Nullable<Binary>,
        archives -> Nullable<Text>,
    }
}

diesel::table! {
    retention_overrides (user_id) {
        user_id -> Binary,
        idle_days -> Nullable<BigInt>,
        set_by -> Text,
        set_at -> BigInt,
    }
}

diesel::table! {
    retention_pace (is_only) {
        is_only -> BigInt,
        next_at -> BigInt,
    }
}

diesel::table! {
    journal_entries (sequence) {
        sequence -> BigInt,
        user_id -> Binary,
        recorded_at -> BigInt,
        operation -> Binary,
        checksum -> Binary,
    }
}

diesel::table! {
    journal_conflicts (sequence) {
        sequence -> BigInt,
        user_id -> Binary,
        recorded_at -> BigInt,
        operation -> Binary,
        checksum -> Binary,
        reason -> Text,
        refused_at -> BigInt,
    }
}

diesel::table! {
    __diesel_schema_migrations (version) {
        version -> Text,
    }
}

diesel::allow_tables_to_appear_in_same_query!(conversations, conversation_turns, agent_states, restorations);
diesel::joinable!(agent_states -> conversations (conversation_id));
diesel::joinable!(conversation_turns -> conversations (conversation_id));
diesel::joinable!(restorations -> conversations (conversation_id));
