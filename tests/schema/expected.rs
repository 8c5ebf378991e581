//! The tables as they should be, written out: whoever changes the schema changes this list too, knowingly.

/// A table's columns: name, PostgreSQL's type, SQLite's type, whether it may be null, PostgreSQL's default.
pub(crate) type Columns = &'static [(&'static str, &'static str, &'static str, bool, Option<&'static str>)];

/// The columns in their order, by table.
pub(crate) const TABLES: &[(&str, Columns)] = &[
    (
        "agent_states",
        &[
            ("agent_id", "uuid", "BLOB", false, None),
            ("conversation_id", "uuid", "BLOB", false, None),
            ("user_id", "uuid", "BLOB", false, None),
            ("agent_config", "jsonb", "TEXT", true, None),
            ("agent_config_sealed", "bytea", "BLOB", true, None),
            ("current_state", "jsonb", "TEXT", true, None),
            ("current_state_sealed", "bytea", "BLOB", true, None),
            ("created_at", "timestamptz", "INTEGER", false, Some("now()")),
            ("updated_at", "timestamptz", "INTEGER", false, Some("now()")),
            ("revision", "int8", "INTEGER", false, None),
            ("through_turn", "int4", "INTEGER", false, None),
        ],
    ),
    (
        "archives",
        &[
            ("archive_id", "uuid", "BLOB", false, None),
            ("state", "text", "TEXT", false, Some("'begun'::text")),
            ("begun_at", "timestamptz", "INTEGER", false, Some("clock_timestamp()")),
            ("conversations", "int8", "INTEGER", false, Some("0")),
            ("turns", "int8", "INTEGER", false, Some("0")),
            ("bytes", "int8", "INTEGER", false, Some("0")),
        ],
    ),
    (
        "audit_events",
        &[
            ("sequence", "int8", "INTEGER", false, None),
            ("at", "timestamptz", "INTEGER", false, None),
            ("actor", "text", "TEXT", false, None),
            ("on_behalf_of", "uuid", "BLOB", true, None),
            ("action", "text", "TEXT", false, None),
            ("conversation_id", "uuid", "BLOB", true, None),
            ("outcome", "text", "TEXT", false, None),
            ("detail", "text", "TEXT", false, None),
            ("previous_hash", "bytea", "BLOB", false, None),
            ("hash", "bytea", "BLOB", false, None),
        ],
    ),
    (
        "audit_head",
        &[
            ("is_only", "bool", "INTEGER", false, Some("true")),
            ("sequence", "int8", "INTEGER", false, None),
            ("hash", "bytea", "BLOB", false, None),
        ],
    ),
    (
        "conversation_tombstones",
        &[
            ("conversation_id", "uuid", "BLOB", false, None),
            ("user_hash", "bytea", "BLOB", false, None),
            ("reason", "text", "TEXT", false, None),
            ("at", "timestamptz", "INTEGER", false, Some("now()")),
            ("archive_id", "uuid", "BLOB", true, None),
        ],
    ),
    (
        "conversation_turns",
        &[
            ("turn_id", "uuid", "BLOB", false, None),
            ("conversation_id", "uuid", "BLOB", false, None),
            ("user_id", "uuid", "BLOB", false, None),
            ("turn_number", "int4", "INTEGER", false, None),
            ("input_messages", "jsonb", "TEXT", true, None),
            ("input_messages_sealed", "bytea", "BLOB", true, None),
            ("output_message", "jsonb", "TEXT", true, None),
            ("output_message_sealed", "bytea", "BLOB", true, None),
            ("started_at", "timestamptz", "INTEGER", false, None),
            ("completed_at", "timestamptz", "INTEGER", false, None),
            ("metadata", "jsonb", "TEXT", false, Some("'{}'::jsonb")),
            ("content_hash", "bytea", "BLOB", false, None),
        ],
    ),
    (
        "conversations",
        &[
            ("conversation_id", "uuid", "BLOB", false, None),
            ("user_id", "uuid", "BLOB", false, None),
            ("agent_id", "uuid", "BLOB", false, None),
            ("model_id", "text", "TEXT", false, None),
            ("system_prompt", "text", "TEXT", true, None),
            ("created_at", "timestamptz", "INTEGER", false, Some("now()")),
            ("updated_at", "timestamptz", "INTEGER", false, Some("now()")),
            ("status", "text", "TEXT", false, Some("'active'::text")),
            ("metadata", "jsonb", "TEXT", false, Some("'{}'::jsonb")),
            ("turn_count", "int4", "INTEGER", false, Some("0")),
            ("state_revision", "int8", "INTEGER", false, Some("0")),
            ("topic_summary", "text", "TEXT", true, None),
            ("external_id", "text", "TEXT", true, None),
        ],
    ),
    (
        "erasures",
        &[
            ("erasure_id", "uuid", "BLOB", false, None),
            ("sequence", "int8", "INTEGER", false, None),
            ("user_hash", "bytea", "BLOB", true, None),
            ("conversation_id", "uuid", "BLOB", true, None),
            ("begun_at", "timestamptz", "INTEGER", false, Some("clock_timestamp()")),
            ("erased_at", "timestamptz", "INTEGER", false, Some("clock_timestamp()")),
            ("conversations", "int8", "INTEGER", false, Some("0")),
            ("turns", "int8", "INTEGER", false, Some("0")),
            ("agent_states", "int8", "INTEGER", false, Some("0")),
            ("requests", "int8", "INTEGER", false, Some("0")),
            ("holds", "int8", "INTEGER", false, Some("0")),
            ("retention_overrides", "int8", "INTEGER", false, Some("0")),
            ("tombstones", "int8", "INTEGER", false, Some("0")),
            ("content_hash", "bytea", "BLOB", false, None),
            ("certificate", "text", "TEXT", true, None),
            ("audit_sequence", "int8", "INTEGER", true, None),
            ("audit_hash", "bytea", "BLOB", true, None),
            ("archives", "text", "TEXT", true, None),
        ],
    ),
    (
        "holds",
        &[
            ("hold_id", "uuid", "BLOB", false, None),
            ("user_id", "uuid", "BLOB", false, None),
            ("conversation_id", "uuid", "BLOB", true, None),
            ("reason", "text", "TEXT", false, None),
            ("placed_by", "text", "TEXT", false, None),
            ("placed_at", "timestamptz", "INTEGER", false, Some("clock_timestamp()")),
            ("released_at", "timestamptz", "INTEGER", true, None),
            ("released_by", "text", "TEXT", true, None),
        ],
    ),
    (
        "requests",
        &[
            ("request_id", "uuid", "BLOB", false, None),
            ("user_id", "uuid", "BLOB", false, None),
            ("idempotency_key", "text", "TEXT", true, None),
            ("request_hash", "bytea", "BLOB", false, None),
            ("conversation_id", "uuid", "BLOB", false, None),
            ("turn_id", "uuid", "BLOB", false, None),
            ("lease_until", "timestamptz", "INTEGER", true, None),
            ("interrupted_at", "timestamptz", "INTEGER", true, None),
            ("created_at", "timestamptz", "INTEGER", false, Some("now()")),
        ],
    ),
    (
        "restorations",
        &[
            ("conversation_id", "uuid", "BLOB", false, None),
            ("keep_until", "timestamptz", "INTEGER", false, None),
        ],
    ),
    (
        "retention_overrides",
        &[
            ("user_id", "uuid", "BLOB", false, None),
            ("idle_days", "int4", "INTEGER", true, None),
            ("set_by", "text", "TEXT", false, None),
            ("set_at", "timestamptz", "INTEGER", false, Some("clock_timestamp()")),
        ],
    ),
    (
        "retention_pace",
        &[
            ("is_only", "bool", "INTEGER", false, Some("true")),
            ("next_at", "timestamptz", "INTEGER", false, None),
        ],
    ),
];

/// The columns that only PostgreSQL has, kept by itself: table, name, type, default.
pub(crate) const POSTGRES_COLUMNS: [(&str, &str, &str, &str); 2] =
    [("agent_states", "is_deleted", "bool", "false"), ("conversations", "active_hour", "int4", "-")];

/// Keys and checks in PostgreSQL: table, name, definition.
pub(crate) const CONSTRAINTS: &[(&str, &str, &str)] = &[
    (
        "agent_states",
        "agent_states_conversation_id_fkey",
        "FOREIGN KEY (conversation_id) REFERENCES conversations(conversation_id) ON DELETE CASCADE",
    ),
    ("agent_states", "agent_states_conversation_id_key", "UNIQUE (conversation_id)"),
    (
        "agent_states",
        "agent_states_payload_check",
        "CHECK ((((agent_config IS NULL) <> (agent_config_sealed IS NULL)) AND ((current_state IS NULL) OR \
         (current_state_sealed IS NULL))))",
    ),
    ("agent_states", "agent_states_pkey", "PRIMARY KEY (agent_id)"),
    ("archives", "archives_pkey", "PRIMARY KEY (archive_id)"),
    (
        "archives",
        "archives_state_check",
        "CHECK ((state = ANY (ARRAY['begun'::text, 'complete'::text, 'stale'::text, 'given_up'::text])))",
    ),
    ("audit_events", "audit_events_pkey", "PRIMARY KEY (sequence)"),
    ("audit_head", "audit_head_is_only_check", "CHECK (is_only)"),
    ("audit_head", "audit_head_pkey", "PRIMARY KEY (is_only)"),
    ("conversation_tombstones", "conversation_tombstones_pkey", "PRIMARY KEY (conversation_id)"),
    (
        "conversation_tombstones",
        "conversation_tombstones_reason_check",
        "CHECK ((reason = ANY (ARRAY['expired'::text, 'deleted'::text, 'erased'::text])))",
    ),
    (
        "conversation_turns",
        "conversation_turns_conversation_id_fkey",
        "FOREIGN KEY (conversation_id) REFERENCES conversations(conversation_id) ON DELETE CASCADE",
    ),
    (
        "conversation_turns",
        "conversation_turns_conversation_id_turn_number_key",
        "UNIQUE (conversation_id, turn_number)",
    ),
    (
        "conversation_turns",
        "conversation_turns_payload_check",
        "CHECK ((((input_messages IS NULL) <> (input_messages_sealed IS NULL)) AND ((output_message IS NULL) OR \
         (output_message_sealed IS NULL))))",
    ),
    ("conversation_turns", "conversation_turns_pkey", "PRIMARY KEY (turn_id)"),
    ("conversations", "conversations_agent_id_key", "UNIQUE (agent_id)"),
    ("conversations", "conversations_pkey", "PRIMARY KEY (conversation_id)"),
    ("conversations", "conversations_refuse_tombstoned", "TRIGGER DEFERRABLE"),
    ("erasures", "erasures_pkey", "PRIMARY KEY (erasure_id)"),
    ("erasures", "erasures_sequence_key", "UNIQUE (sequence)"),
    ("holds", "holds_pkey", "PRIMARY KEY (hold_id)"),
    (
        "requests",
        "requests_idempotency_key_check",
        "CHECK (((octet_length(idempotency_key) >= 1) AND (octet_length(idempotency_key) <= 255)))",
    ),
    ("requests", "requests_pkey", "PRIMARY KEY (request_id)"),
    ("requests", "requests_request_hash_check", "CHECK ((octet_length(request_hash) = 32))"),
    ("requests", "requests_user_id_idempotency_key_key", "UNIQUE (user_id, idempotency_key)"),
    (
        "restorations",
        "restorations_conversation_id_fkey",
        "FOREIGN KEY (conversation_id) REFERENCES conversations(conversation_id) ON DELETE CASCADE",
    ),
    ("restorations", "restorations_pkey", "PRIMARY KEY (conversation_id)"),
    (
        "retention_overrides",
        "retention_overrides_idle_days_check",
        "CHECK (((idle_days >= 1) AND (idle_days <= 36500)))",
    ),
    ("retention_overrides", "retention_overrides_pkey", "PRIMARY KEY (user_id)"),
    ("retention_pace", "retention_pace_is_only_check", "CHECK (is_only)"),
    ("retention_pace", "retention_pace_pkey", "PRIMARY KEY (is_only)"),
];

/// Indexes in both databases: table, columns, whether it is unique. Of the requests' leases, only those that
/// are not null are in theirs.
pub(crate) const INDEXES: &[(&str, &str, bool)] = &[
    ("agent_states", "agent_id", true),
    ("agent_states", "conversation_id", true),
    ("archives", "archive_id", true),
    ("audit_events", "action, sequence", false),
    ("audit_events", "conversation_id, sequence", false),
    ("audit_events", "on_behalf_of, sequence", false),
    ("conversation_tombstones", "archive_id", false),
    ("conversation_tombstones", "conversation_id", true),
    ("conversation_tombstones", "user_hash", false),
    ("conversation_turns", "conversation_id, turn_number", true),
    ("conversation_turns", "turn_id", true),
    ("conversations", "agent_id", true),
    ("conversations", "conversation_id", true),
    ("conversations", "status", false),
    ("conversations", "user_id, external_id", true),
    ("erasures", "conversation_id", false),
    ("erasures", "erasure_id", true),
    ("erasures", "sequence", true),
    ("erasures", "user_hash", false),
    ("holds", "hold_id", true),
    ("holds", "user_id", false),
    ("requests", "conversation_id", false),
    ("requests", "lease_until", false),
    ("requests", "request_id", true),
    ("requests", "user_id, idempotency_key", true),
    ("restorations", "conversation_id", true),
    ("retention_overrides", "user_id", true),
];

/// Those that differ. On a laptop a user has few conversations, and sorting them is cheaper than an index; a
/// key that is an integer is SQLite's own.
pub(crate) const POSTGRES_INDEXES: &[(&str, &str, bool)] = &[
    ("audit_events", "sequence", true),
    ("audit_head", "is_only", true),
    ("conversations", "user_id, active_hour", false),
    ("retention_pace", "is_only", true),
];
/// What SQLite has in its place.
pub(crate) const SQLITE_INDEX: (&str, &str, bool) = ("conversations", "user_id", false);

/// The indexes of them that are partial.
pub(crate) const PARTIAL_INDEXES: &[&str] = &[
    "audit_events_conversation_id_idx",
    "audit_events_on_behalf_of_idx",
    "conversation_tombstones_archive_id_idx",
    "erasures_conversation_id_idx",
    "erasures_user_hash_idx",
    "holds_user_id_idx",
    "requests_lease_until_idx",
];
/// The one that is partial in PostgreSQL alone: that of the host's ids, which few conversations may have.
pub(crate) const POSTGRES_PARTIAL_INDEX: &str = "conversations_user_id_external_id_key";

/// The tables that only SQLite has: the journal is a file beside PostgreSQL, never in it.
pub(crate) const SQLITE_TABLES: &[(&str, &[(&str, &str)])] = &[
    (
        "journal_conflicts",
        &[
            ("sequence", "INTEGER"),
            ("user_id", "BLOB"),
            ("recorded_at", "INTEGER"),
            ("operation", "BLOB"),
            ("checksum", "BLOB"),
            ("reason", "TEXT"),
            ("refused_at", "INTEGER"),
        ],
    ),
    (
        "journal_entries",
        &[
            ("sequence", "INTEGER"),
            ("user_id", "BLOB"),
            ("recorded_at", "INTEGER"),
            ("operation", "BLOB"),
            ("checksum", "BLOB"),
        ],
    ),
    ("turn_words_progress", &[("is_only", "INTEGER"), ("place", "INTEGER"), ("turn_id", "BLOB")]),
];
