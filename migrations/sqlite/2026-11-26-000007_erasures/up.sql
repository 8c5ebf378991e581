-- Erasures: the table of migrations/postgres in SQLite's types.

CREATE TABLE erasures (
    erasure_id          BLOB    NOT NULL PRIMARY KEY,
    -- Rises with every step of any erasure.
    sequence            INTEGER NOT NULL UNIQUE,
    -- Null: nobody knows whose the conversation was.
    user_hash           BLOB,
    -- Null: all that was the user's.
    conversation_id     BLOB,
    begun_at            INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    -- The last step: what was journaled before is not to come back.
    erased_at           INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    conversations       INTEGER NOT NULL DEFAULT 0,
    turns               INTEGER NOT NULL DEFAULT 0,
    agent_states        INTEGER NOT NULL DEFAULT 0,
    requests            INTEGER NOT NULL DEFAULT 0,
    holds               INTEGER NOT NULL DEFAULT 0,
    retention_overrides INTEGER NOT NULL DEFAULT 0,
    tombstones          INTEGER NOT NULL DEFAULT 0,
    -- Over what was removed, without its content.
    content_hash        BLOB    NOT NULL,
    -- Null: it has not ended.
    certificate         TEXT,
    audit_sequence      INTEGER,
    audit_hash          BLOB,
    CONSTRAINT erasures_ids_check CHECK (length(erasure_id) = 16 AND length(conversation_id) = 16),
    CONSTRAINT erasures_hashes_check CHECK (
        length(user_hash) = 32 AND length(content_hash) = 32 AND length(audit_hash) = 32)
) STRICT;

CREATE INDEX erasures_user_hash_idx ON erasures (user_hash) WHERE conversation_id IS NULL;
CREATE INDEX erasures_conversation_id_idx ON erasures (conversation_id) WHERE conversation_id IS NOT NULL;

-- An erased user's tombstones are found by the hash that stands in the user's place.
CREATE INDEX conversation_tombstones_user_hash_idx ON conversation_tombstones (user_hash);
