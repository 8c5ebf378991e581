-- When the next batch of retention may go: the table of migrations/postgres in SQLite's types.

CREATE TABLE retention_pace (
    is_only INTEGER NOT NULL PRIMARY KEY DEFAULT 1,
    next_at INTEGER NOT NULL,
    CONSTRAINT retention_pace_is_only_check CHECK (is_only = 1)
) STRICT;
