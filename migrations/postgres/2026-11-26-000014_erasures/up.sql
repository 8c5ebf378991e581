-- Erasures (docs/adr/0035-erasure.md). They name no user: by them a replica knows that something it has in memory, and
-- a journal that something it has on its disk, is not to be brought back; and a certificate is not lost with its file.

CREATE TABLE erasures (
    erasure_id          uuid        NOT NULL CONSTRAINT erasures_pkey PRIMARY KEY,
    -- Rises with every step of any erasure: given under the lock of holds, so that none is seen out of turn.
    sequence            bigint      NOT NULL CONSTRAINT erasures_sequence_key UNIQUE,
    -- Null: nobody knows whose the conversation was.
    user_hash           bytea,
    -- Null: all that was the user's.
    conversation_id     uuid,
    begun_at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The last step: what was journaled before is not to come back.
    erased_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    conversations       bigint      NOT NULL DEFAULT 0,
    turns               bigint      NOT NULL DEFAULT 0,
    agent_states        bigint      NOT NULL DEFAULT 0,
    requests            bigint      NOT NULL DEFAULT 0,
    holds               bigint      NOT NULL DEFAULT 0,
    retention_overrides bigint      NOT NULL DEFAULT 0,
    tombstones          bigint      NOT NULL DEFAULT 0,
    -- Over what was removed, without its content.
    content_hash        bytea       NOT NULL,
    -- Null: it has not ended. As text: its hash stands in the audit log.
    certificate         text,
    audit_sequence      bigint,
    audit_hash          bytea
);

CREATE INDEX erasures_user_hash_idx ON erasures (user_hash) WHERE conversation_id IS NULL;
CREATE INDEX erasures_conversation_id_idx ON erasures (conversation_id) WHERE conversation_id IS NOT NULL;

-- An erased user's tombstones are found by the hash that stands in the user's place.
CREATE INDEX conversation_tombstones_user_hash_idx ON conversation_tombstones (user_hash);
