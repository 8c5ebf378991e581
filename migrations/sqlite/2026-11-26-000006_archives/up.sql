-- Archives: the tables of migrations/postgres in SQLite's types.

ALTER TABLE conversation_tombstones ADD COLUMN archive_id BLOB
    CONSTRAINT conversation_tombstones_archive_id_check CHECK (length(archive_id) = 16);
CREATE INDEX conversation_tombstones_archive_id_idx ON conversation_tombstones (archive_id)
    WHERE archive_id IS NOT NULL;

CREATE TABLE archives (
    archive_id    BLOB    NOT NULL PRIMARY KEY,
    state         TEXT    NOT NULL DEFAULT 'begun',
    begun_at      INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    -- How much its file holds; nothing before it is closed.
    conversations INTEGER NOT NULL DEFAULT 0,
    turns         INTEGER NOT NULL DEFAULT 0,
    bytes         INTEGER NOT NULL DEFAULT 0,
    CONSTRAINT archives_archive_id_check CHECK (length(archive_id) = 16),
    CONSTRAINT archives_state_check CHECK (state IN ('begun', 'complete', 'stale', 'given_up'))
) STRICT;

-- What came back from an archive, and until when retention leaves it alone: its own times are as they were.
CREATE TABLE restorations (
    conversation_id BLOB    NOT NULL PRIMARY KEY REFERENCES conversations (conversation_id) ON DELETE CASCADE,
    keep_until      INTEGER NOT NULL,
    CONSTRAINT restorations_conversation_id_check CHECK (length(conversation_id) = 16)
) STRICT;
