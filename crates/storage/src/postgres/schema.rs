// @generated automatically by Diesel CLI.

diesel::table! {
    agent_states (agent_id) {
        agent_id -> Uuid,
        conversation_id -> Uuid,
        user_id -> Uuid,
        agent_config -> Nullable<Jsonb>,
        agent_config_sealed -> Nullable<Bytea>,
        current_state -> Nullable<Jsonb>,
        current_state_sealed -> Nullable<Bytea>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        revision -> Int8,
        through_turn -> Int4,
        is_deleted -> Bool,
    }
}

diesel::table! {
    archives (archive_id) {
        archive_id -> Uuid,
        state -> Text,
        begun_at -> Timestamptz,
        conversations -> Int8,
        turns -> Int8,
        bytes -> Int8,
    }
}

diesel::table! {
    audit_events (sequence) {
        sequence -> Int8,
        at -> Timestamptz,
        actor -> Text,
        on_behalf_of -> Nullable<Uuid>,
        action -> Text,
        conversation_id -> Nullable<Uuid>,
        outcome -> Text,
        detail -> Text,
        previous_hash -> Bytea,
        hash -> Bytea,
    }
}

diesel::table! {
    audit_head (is_only) {
        is_only -> Bool,
        sequence -> Int8,
        hash -> Bytea,
    }
}

diesel::table! {
    conversation_tombstones (conversation_id) {
        conversation_id -> Uuid,
        user_hash -> Bytea,
        reason -> Text,
        at -> Timestamptz,
        archive_id -> Nullable<Uuid>,
    }
}

diesel::table! {
    conversation_turns (turn_id) {
        turn_id -> Uuid,
        conversation_id -> Uuid,
        user_id -> Uuid,
        turn_number -> Int4,
        input_messages -> Nullable<Jsonb>,
        input_messages_sealed -> Nullable<Bytea>,
        output_message -> Nullable<Jsonb>,
        output_message_sealed -> Nullable<Bytea>,
        started_at -> Timestamptz,
        completed_at -> Timestamptz,
        metadata -> Jsonb,
        content_hash -> Bytea,
    }
}

diesel::table! {
    conversations (conversation_id) {
        conversation_id -> Uuid,
        user_id -> Uuid,
        agent_id -> Uuid,
        model_id -> Text,
        system_prompt -> Nullable<Text>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        status -> Text,
        metadata -> Jsonb,
        turn_count -> Int4,
        state_revision -> Int8,
        topic_summary -> Nullable<Text>,
        external_id -> Nullable<Text>,
        active_hour -> Int4,
    }
}

diesel::table! {
    erasures (erasure_id) {
        erasure_id -> Uuid,
        sequence -> Int8,
        user_hash -> Nullable<Bytea>,
        conversation_id -> Nullable<Uuid>,
        begun_at -> Timestamptz,
        erased_at -> Timestamptz,
        conversations -> Int8,
        turns -> Int8,
        agent_states -> Int8,
        requests -> Int8,
        holds -> Int8,
        retention_overrides -> Int8,
        tombstones -> Int8,
        content_hash -> Bytea,
        certificate -> Nullable<Text>,
        audit_sequence -> Nullable<Int8>,
        audit_hash -> Nullable<Bytea>,
        archives -> Nullable<Text>,
    }
}

diesel::table! {
    holds (hold_id) {
        hold_id -> Uuid,
        user_id -> Uuid,
        conversation_id -> Nullable<Uuid>,
        reason -> Text,
        placed_by -> Text,
        placed_at -> Timestamptz,
        released_at -> Nullable<Timestamptz>,
        released_by -> Nullable<Text>,
    }
}

diesel::table! {
    requests (request_id) {
        request_id -> Uuid,
        user_id -> Uuid,
        idempotency_key -> Nullable<Text>,
        request_hash -> Bytea,
        conversation_id -> Uuid,
        turn_id -> Uuid,
        lease_until -> Nullable<Timestamptz>,
        interrupted_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    restorations (conversation_id) {
        conversation_id -> Uuid,
        keep_until -> Timestamptz,
    }
}

diesel::table! {
    retention_overrides (user_id) {
        user_id -> Uuid,
        idle_days -> Nullable<Int4>,
        set_by -> Text,
        set_at -> Timestamptz,
    }
}

diesel::table! {
    retention_pace (is_only) {
        is_only -> Bool,
        next_at -> Timestamptz,
    }
}

diesel::joinable!(agent_states -> conversations (conversation_id));
diesel::joinable!(conversation_turns -> conversations (conversation_id));
diesel::joinable!(restorations -> conversations (conversation_id));

diesel::allow_tables_to_appear_in_same_query!(
    agent_states,
    archives,
    audit_events,
    audit_head,
    conversation_tombstones,
    conversation_turns,
    conversations,
    erasures,
    holds,
    requests,
    restorations,
    retention_overrides,
    retention_pace,
);
