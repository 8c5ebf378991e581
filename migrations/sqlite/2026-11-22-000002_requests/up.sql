-- Requests that are being answered, and those that were answered under a key: the schema of
-- migrations/postgres in SQLite's types.

CREATE TABLE requests (
    -- The attempt that answers it, or did.
    request_id      BLOB    NOT NULL PRIMARY KEY,
    user_id         BLOB    NOT NULL,
    idempotency_key TEXT,
    request_hash    BLOB    NOT NULL,
    conversation_id BLOB    NOT NULL,
    turn_id         BLOB    NOT NULL,
    -- Until when it is known to be worked on; null: it is answered.
    lease_until     INTEGER,
    -- Since when it is to be stopped.
    interrupted_at  INTEGER,
    created_at      INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000000 AS INTEGER)),
    UNIQUE (user_id, idempotency_key),
    CONSTRAINT requests_ids_check CHECK (
        length(request_id) = 16 AND length(user_id) = 16 AND length(conversation_id) = 16
        AND length(turn_id) = 16),
    CONSTRAINT requests_idempotency_key_check
        CHECK (length(CAST(idempotency_key AS BLOB)) BETWEEN 1 AND 255),
    CONSTRAINT requests_request_hash_check CHECK (length(request_hash) = 32)
) STRICT;

-- For a purge, which takes a conversation's requests along.
CREATE INDEX requests_conversation_id_idx ON requests (conversation_id);
-- For the requests that were left behind by a crash.
CREATE INDEX requests_lease_until_idx ON requests (lease_until) WHERE lease_until IS NOT NULL;
