-- Conversations, their turns, their agents' states, and what is left of the purged ones: the schema of
-- migrations/postgres in SQLite's types. An id is 16 bytes, a time is microseconds since 1970 in UTC, a
-- document is JSON text. STRICT, because SQLite otherwise stores any type in any column.

CREATE TABLE conversations (
    conversation_id BLOB    NOT NULL PRIMARY KEY,
    user_id         BLOB    NOT NULL,
    agent_id        BLOB    NOT NULL UNIQUE,
    model_id        TEXT    NOT NULL,
    system_prompt   TEXT,
    created_at      INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    updated_at      INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    status          TEXT    NOT NULL DEFAULT 'active',
    metadata        TEXT    NOT NULL DEFAULT '{}',
    -- The head: turns are numbered 1 to turn_count, and the number is given under the write lock.
    turn_count      INTEGER NOT NULL DEFAULT 0,
    -- The last revision given to the agent's state. It outlives the state's row, so that a revision
    -- never names two states, and stands here so that one row answers "has anything changed?".
    state_revision  INTEGER NOT NULL DEFAULT 0,
    topic_summary   TEXT,
    external_id     TEXT,
    UNIQUE (user_id, external_id),
    CONSTRAINT conversations_ids_check CHECK (
        length(conversation_id) = 16 AND length(user_id) = 16 AND length(agent_id) = 16),
    CONSTRAINT conversations_status_check CHECK (status IN ('active', 'archived', 'deleted')),
    CONSTRAINT conversations_metadata_check CHECK (json_valid(metadata)),
    CONSTRAINT conversations_turn_count_check CHECK (turn_count BETWEEN 0 AND 2147483647),
    CONSTRAINT conversations_state_revision_check CHECK (state_revision >= 0)
) STRICT;

CREATE INDEX conversations_user_id_idx ON conversations (user_id);
CREATE INDEX conversations_status_idx ON conversations (status);

CREATE TABLE conversation_turns (
    turn_id               BLOB    NOT NULL PRIMARY KEY,
    conversation_id       BLOB    NOT NULL REFERENCES conversations (conversation_id) ON DELETE CASCADE,
    user_id               BLOB    NOT NULL,
    turn_number           INTEGER NOT NULL,
    -- A payload stands in one of two columns, as in PostgreSQL: as JSON text, or sealed.
    input_messages        TEXT,
    input_messages_sealed BLOB,
    output_message        TEXT,
    output_message_sealed BLOB,
    started_at            INTEGER NOT NULL,
    completed_at          INTEGER NOT NULL,
    metadata              TEXT    NOT NULL DEFAULT '{}',
    content_hash          BLOB    NOT NULL,
    UNIQUE (conversation_id, turn_number),
    CONSTRAINT conversation_turns_ids_check CHECK (
        length(turn_id) = 16 AND length(conversation_id) = 16 AND length(user_id) = 16),
    CONSTRAINT conversation_turns_turn_number_check CHECK (turn_number BETWEEN 1 AND 2147483647),
    CONSTRAINT conversation_turns_input_messages_check
        CHECK ((input_messages IS NULL) <> (input_messages_sealed IS NULL)),
    CONSTRAINT conversation_turns_output_message_check
        CHECK (output_message IS NULL OR output_message_sealed IS NULL),
    -- json_valid(NULL) is NULL, and a check that is NULL holds.
    CONSTRAINT conversation_turns_json_check CHECK (
        json_valid(input_messages) AND json_valid(output_message) AND json_valid(metadata)),
    CONSTRAINT conversation_turns_content_hash_check CHECK (length(content_hash) = 32)
) STRICT;

CREATE TABLE agent_states (
    agent_id             BLOB    NOT NULL PRIMARY KEY,
    conversation_id      BLOB    NOT NULL UNIQUE REFERENCES conversations (conversation_id) ON DELETE CASCADE,
    user_id              BLOB    NOT NULL,
    agent_config         TEXT,
    agent_config_sealed  BLOB,
    current_state        TEXT,
    current_state_sealed BLOB,
    created_at           INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    updated_at           INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    revision             INTEGER NOT NULL,
    -- How many turns this state has seen: what came later, the agent is shown when it is made again.
    through_turn         INTEGER NOT NULL,
    CONSTRAINT agent_states_ids_check CHECK (
        length(agent_id) = 16 AND length(conversation_id) = 16 AND length(user_id) = 16),
    CONSTRAINT agent_states_agent_config_check
        CHECK ((agent_config IS NULL) <> (agent_config_sealed IS NULL)),
    CONSTRAINT agent_states_current_state_check
        CHECK (current_state IS NULL OR current_state_sealed IS NULL),
    CONSTRAINT agent_states_json_check CHECK (json_valid(agent_config) AND json_valid(current_state)),
    CONSTRAINT agent_states_revision_check CHECK (revision >= 1),
    CONSTRAINT agent_states_through_turn_check CHECK (through_turn BETWEEN 0 AND 2147483647)
) STRICT;

CREATE TABLE conversation_tombstones (
    conversation_id BLOB    NOT NULL PRIMARY KEY,
    user_hash       BLOB    NOT NULL,
    reason          TEXT    NOT NULL,
    at              INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    CONSTRAINT conversation_tombstones_ids_check CHECK (length(conversation_id) = 16),
    CONSTRAINT conversation_tombstones_reason_check CHECK (reason IN ('expired', 'deleted', 'erased'))
) STRICT;

-- P6, for whoever writes: an id that has a tombstone is never used again.
CREATE TRIGGER conversations_refuse_tombstoned BEFORE INSERT ON conversations
WHEN EXISTS (SELECT 1 FROM conversation_tombstones t WHERE t.conversation_id = NEW.conversation_id)
BEGIN
    SELECT RAISE(ABORT, 'the conversation has been purged');
END;
