-- Legal holds, and users whose conversations are kept for another time than all others'
-- (docs/adr/0028-legal-hold.md). A released hold stays: it says what was kept, and why.

CREATE TABLE holds (
    hold_id         uuid        NOT NULL CONSTRAINT holds_pkey PRIMARY KEY,
    user_id         uuid        NOT NULL,
    -- Null: all of the user's conversations. No foreign key: a released hold outlives what it was on.
    conversation_id uuid,
    reason          text        NOT NULL,
    placed_by       text        NOT NULL,
    placed_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    released_at     timestamptz,
    released_by     text
);

CREATE INDEX holds_user_id_idx ON holds (user_id) WHERE released_at IS NULL;

CREATE TABLE retention_overrides (
    user_id   uuid        NOT NULL CONSTRAINT retention_overrides_pkey PRIMARY KEY,
    -- Null: for ever.
    idle_days integer,
    set_by    text        NOT NULL,
    set_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT retention_overrides_idle_days_check CHECK (idle_days BETWEEN 1 AND 36500)
);
