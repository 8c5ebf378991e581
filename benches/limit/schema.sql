-- What the limit works on: the tables that these workloads need and nothing beside them. A counter on the
-- conversation numbers the turns, its pages have room for heap-only updates, and no index covers a column that
-- an append changes.
CREATE TABLE conversations (
    conversation_id uuid PRIMARY KEY,
    user_id         uuid NOT NULL,
    agent_id        uuid NOT NULL,
    model_id        text NOT NULL,
    system_prompt   text,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    status          text NOT NULL DEFAULT 'active',
    metadata        jsonb NOT NULL DEFAULT '{}',
    turn_count      integer NOT NULL DEFAULT 0
) WITH (fillfactor = 85);
CREATE INDEX ON conversations (user_id);
CREATE INDEX ON conversations (agent_id);
CREATE INDEX ON conversations (status);

CREATE TABLE conversation_turns (
    turn_id         uuid PRIMARY KEY,
    conversation_id uuid NOT NULL REFERENCES conversations ON DELETE CASCADE,
    turn_number     integer NOT NULL,
    input_messages  jsonb NOT NULL,
    output_message  jsonb NOT NULL,
    started_at      timestamptz NOT NULL,
    completed_at    timestamptz,
    metadata        jsonb NOT NULL DEFAULT '{}',
    UNIQUE (conversation_id, turn_number)
);

CREATE TABLE agent_states (
    agent_id        uuid PRIMARY KEY,
    conversation_id uuid NOT NULL UNIQUE REFERENCES conversations ON DELETE CASCADE,
    agent_config    jsonb NOT NULL,
    current_state   jsonb NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
);
