-- The audit log: the tables of migrations/postgres in SQLite's types. Places and hashes are given by the program,
-- under the write lock.

CREATE TABLE audit_events (
    sequence        INTEGER NOT NULL PRIMARY KEY,
    at              INTEGER NOT NULL,
    actor           TEXT    NOT NULL,
    on_behalf_of    BLOB,
    action          TEXT    NOT NULL,
    conversation_id BLOB,
    outcome         TEXT    NOT NULL,
    -- A JSON object, kept as the text that its hash was made from.
    detail          TEXT    NOT NULL,
    previous_hash   BLOB    NOT NULL,
    hash            BLOB    NOT NULL,
    CONSTRAINT audit_events_ids_check CHECK (length(on_behalf_of) = 16 AND length(conversation_id) = 16),
    CONSTRAINT audit_events_hashes_check CHECK (length(previous_hash) = 32 AND length(hash) = 32)
) STRICT;

CREATE INDEX audit_events_on_behalf_of_idx ON audit_events (on_behalf_of, sequence) WHERE on_behalf_of IS NOT NULL;
CREATE INDEX audit_events_conversation_id_idx ON audit_events (conversation_id, sequence)
    WHERE conversation_id IS NOT NULL;
CREATE INDEX audit_events_action_idx ON audit_events (action, sequence);

-- One row: the end of the chain.
CREATE TABLE audit_head (
    is_only  INTEGER NOT NULL PRIMARY KEY DEFAULT 1,
    sequence INTEGER NOT NULL,
    hash     BLOB    NOT NULL,
    CONSTRAINT audit_head_is_only_check CHECK (is_only = 1),
    CONSTRAINT audit_head_hash_check CHECK (length(hash) = 32)
) STRICT;
INSERT INTO audit_head (sequence, hash) VALUES (0, zeroblob(32));

CREATE TRIGGER audit_events_refuse_update BEFORE UPDATE ON audit_events
BEGIN
    SELECT RAISE(ABORT, 'the audit log is only ever added to');
END;
CREATE TRIGGER audit_events_refuse_delete BEFORE DELETE ON audit_events
BEGIN
    SELECT RAISE(ABORT, 'the audit log is only ever added to');
END;
CREATE TRIGGER audit_head_refuse_delete BEFORE DELETE ON audit_head
BEGIN
    SELECT RAISE(ABORT, 'the audit log is only ever added to');
END;
