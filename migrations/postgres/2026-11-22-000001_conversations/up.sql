-- Conversations, their turns, their agents' states, and what is left of the purged ones.
-- Every constraint has a name: the adapter tells errors apart by it.

CREATE TABLE conversations (
    conversation_id uuid        NOT NULL CONSTRAINT conversations_pkey PRIMARY KEY,
    user_id         uuid        NOT NULL,
    agent_id        uuid        NOT NULL CONSTRAINT conversations_agent_id_key UNIQUE,
    model_id        text        NOT NULL,
    system_prompt   text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    status          text        NOT NULL DEFAULT 'active',
    metadata        jsonb       NOT NULL DEFAULT '{}',
    -- The head: turns are numbered 1 to turn_count, and the number is given under this row's lock.
    turn_count      integer     NOT NULL DEFAULT 0,
    -- The last revision given to the agent's state. It outlives the state's row, so that a revision
    -- never names two states, and stands here so that one row answers "has anything changed?".
    state_revision  bigint      NOT NULL DEFAULT 0,
    topic_summary   text,
    external_id     text,
    CONSTRAINT conversations_user_id_external_id_key UNIQUE (user_id, external_id),
    CONSTRAINT conversations_status_check CHECK (status IN ('active', 'archived', 'deleted')),
    CONSTRAINT conversations_turn_count_check CHECK (turn_count >= 0),
    CONSTRAINT conversations_state_revision_check CHECK (state_revision >= 0)
) WITH (fillfactor = 80); -- every append updates the head: room on the page keeps that update heap-only

CREATE INDEX conversations_user_id_idx ON conversations (user_id);
CREATE INDEX conversations_status_idx ON conversations (status);

CREATE TABLE conversation_turns (
    turn_id               uuid        NOT NULL CONSTRAINT conversation_turns_pkey PRIMARY KEY,
    conversation_id       uuid        NOT NULL,
    user_id               uuid        NOT NULL,
    turn_number           integer     NOT NULL,
    -- A payload stands in one of two columns: as jsonb, or sealed where jsonb cannot hold it exactly.
    input_messages        jsonb,
    input_messages_sealed bytea,
    output_message        jsonb,
    output_message_sealed bytea,
    started_at            timestamptz NOT NULL,
    completed_at          timestamptz NOT NULL,
    metadata              jsonb       NOT NULL DEFAULT '{}',
    content_hash          bytea       NOT NULL,
    CONSTRAINT conversation_turns_conversation_id_turn_number_key UNIQUE (conversation_id, turn_number),
    CONSTRAINT conversation_turns_conversation_id_fkey FOREIGN KEY (conversation_id)
        REFERENCES conversations (conversation_id) ON DELETE CASCADE,
    CONSTRAINT conversation_turns_turn_number_check CHECK (turn_number >= 1),
    CONSTRAINT conversation_turns_input_messages_check
        CHECK (num_nonnulls(input_messages, input_messages_sealed) = 1),
    CONSTRAINT conversation_turns_output_message_check
        CHECK (num_nonnulls(output_message, output_message_sealed) <= 1),
    CONSTRAINT conversation_turns_content_hash_check CHECK (octet_length(content_hash) = 32)
);

CREATE TABLE agent_states (
    agent_id             uuid        NOT NULL CONSTRAINT agent_states_pkey PRIMARY KEY,
    conversation_id      uuid        NOT NULL CONSTRAINT agent_states_conversation_id_key UNIQUE,
    user_id              uuid        NOT NULL,
    agent_config         jsonb,
    agent_config_sealed  bytea,
    current_state        jsonb,
    current_state_sealed bytea,
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    revision             bigint      NOT NULL,
    -- How many turns this state has seen: what came later, the agent is shown when it is made again.
    through_turn         integer     NOT NULL,
    CONSTRAINT agent_states_conversation_id_fkey FOREIGN KEY (conversation_id)
        REFERENCES conversations (conversation_id) ON DELETE CASCADE,
    CONSTRAINT agent_states_agent_config_check CHECK (num_nonnulls(agent_config, agent_config_sealed) = 1),
    CONSTRAINT agent_states_current_state_check
        CHECK (num_nonnulls(current_state, current_state_sealed) <= 1),
    CONSTRAINT agent_states_revision_check CHECK (revision >= 1),
    CONSTRAINT agent_states_through_turn_check CHECK (through_turn >= 0)
) WITH (fillfactor = 80);

CREATE TABLE conversation_tombstones (
    conversation_id uuid        NOT NULL CONSTRAINT conversation_tombstones_pkey PRIMARY KEY,
    user_hash       bytea       NOT NULL,
    reason          text        NOT NULL,
    at              timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT conversation_tombstones_reason_check CHECK (reason IN ('expired', 'deleted', 'erased'))
);

-- P6, for whoever writes: an id that has a tombstone is never used again. A trigger, because only what
-- runs after the insert sees a tombstone that was committed while the insert waited for the purge. It
-- looks beside its own table: the search path is the writer's, and temporary tables come first in it.
CREATE FUNCTION refuse_tombstoned_conversation() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE TRIGGER conversations_refuse_tombstoned AFTER INSERT ON conversations
    FOR EACH ROW EXECUTE FUNCTION refuse_tombstoned_conversation();
