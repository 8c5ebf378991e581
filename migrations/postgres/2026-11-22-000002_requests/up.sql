-- Requests that are being answered, and those that were answered under a key. No foreign key: a request
-- begins before its conversation does.

CREATE TABLE requests (
    -- The attempt that answers it, or did.
    request_id      uuid        NOT NULL CONSTRAINT requests_pkey PRIMARY KEY,
    user_id         uuid        NOT NULL,
    idempotency_key text,
    request_hash    bytea       NOT NULL,
    conversation_id uuid        NOT NULL,
    turn_id         uuid        NOT NULL,
    -- Until when it is known to be worked on; null: it is answered.
    lease_until     timestamptz,
    -- Since when it is to be stopped.
    interrupted_at  timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT requests_user_id_idempotency_key_key UNIQUE (user_id, idempotency_key),
    CONSTRAINT requests_idempotency_key_check CHECK (octet_length(idempotency_key) BETWEEN 1 AND 255),
    CONSTRAINT requests_request_hash_check CHECK (octet_length(request_hash) = 32)
);

-- For a purge, which takes a conversation's requests along.
CREATE INDEX requests_conversation_id_idx ON requests (conversation_id);
-- For the requests that were left behind by a crash.
CREATE INDEX requests_lease_until_idx ON requests (lease_until) WHERE lease_until IS NOT NULL;
