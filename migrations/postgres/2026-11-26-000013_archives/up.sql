-- Archives: which one holds what retention has removed, and how far each has come (docs/adr/0034-archive.md). Their
-- files are elsewhere.

-- Its index is migration 16: that reads the whole table, and nobody is to wait for the locks of this one meanwhile.
ALTER TABLE conversation_tombstones ADD COLUMN archive_id uuid;

CREATE TABLE archives (
    archive_id    uuid        NOT NULL CONSTRAINT archives_pkey PRIMARY KEY,
    state         text        NOT NULL DEFAULT 'begun',
    begun_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- How much its file holds; nothing before it is closed.
    conversations bigint      NOT NULL DEFAULT 0,
    turns         bigint      NOT NULL DEFAULT 0,
    bytes         bigint      NOT NULL DEFAULT 0,
    CONSTRAINT archives_state_check CHECK (state IN ('begun', 'complete', 'stale', 'given_up'))
);

-- What came back from an archive, and until when retention leaves it alone: its own times are as they were.
CREATE TABLE restorations (
    conversation_id uuid        NOT NULL CONSTRAINT restorations_pkey PRIMARY KEY,
    keep_until      timestamptz NOT NULL,
    CONSTRAINT restorations_conversation_id_fkey FOREIGN KEY (conversation_id)
        REFERENCES conversations (conversation_id) ON DELETE CASCADE
);
