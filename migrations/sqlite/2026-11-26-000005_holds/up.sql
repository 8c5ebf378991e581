-- Legal holds, and users whose conversations are kept for another time: the tables of migrations/postgres in
-- SQLite's types.

CREATE TABLE holds (
    hold_id         BLOB    NOT NULL PRIMARY KEY,
    user_id         BLOB    NOT NULL,
    -- Null: all of the user's conversations.
    conversation_id BLOB,
    reason          TEXT    NOT NULL,
    placed_by       TEXT    NOT NULL,
    placed_at       INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    released_at     INTEGER,
    released_by     TEXT,
    CONSTRAINT holds_ids_check CHECK (
        length(hold_id) = 16 AND length(user_id) = 16 AND length(conversation_id) = 16)
) STRICT;

CREATE INDEX holds_user_id_idx ON holds (user_id) WHERE released_at IS NULL;

CREATE TABLE retention_overrides (
    user_id   BLOB    NOT NULL PRIMARY KEY,
    -- Null: for ever.
    idle_days INTEGER,
    set_by    TEXT    NOT NULL,
    set_at    INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    CONSTRAINT retention_overrides_user_id_check CHECK (length(user_id) = 16),
    CONSTRAINT retention_overrides_idle_days_check CHECK (idle_days BETWEEN 1 AND 36500)
) STRICT;
