-- The local journal: operations that were acknowledged while the database was away. PostgreSQL has no such
-- tables. A journal is a database file of this schema whose other tables stay empty.

CREATE TABLE journal_entries (
    -- Rises, and is never used twice, also not after its row is gone.
    sequence    INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    user_id     BLOB    NOT NULL,
    recorded_at INTEGER NOT NULL,
    -- A versioned record in JSON.
    operation   BLOB    NOT NULL,
    -- SHA-256 of the three columns before it.
    checksum    BLOB    NOT NULL,
    CONSTRAINT journal_entries_user_id_check CHECK (length(user_id) = 16),
    CONSTRAINT journal_entries_checksum_check CHECK (length(checksum) = 32)
) STRICT;

-- What the database refused when it was replayed, until an operator decides.
CREATE TABLE journal_conflicts (
    -- The one that it had as an entry.
    sequence    INTEGER NOT NULL PRIMARY KEY,
    user_id     BLOB    NOT NULL,
    recorded_at INTEGER NOT NULL,
    operation   BLOB    NOT NULL,
    checksum    BLOB    NOT NULL,
    reason      TEXT    NOT NULL,
    refused_at  INTEGER NOT NULL
) STRICT;
