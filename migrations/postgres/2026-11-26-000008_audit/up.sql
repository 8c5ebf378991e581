-- The audit log: rows that are only ever added, each with the hash of the one before it, and the end of that chain
-- beside them (docs/adr/0027-audit.md). It holds ids, counts and hashes, no user's content.

CREATE TABLE audit_events (
    sequence        bigint      NOT NULL CONSTRAINT audit_events_pkey PRIMARY KEY,
    at              timestamptz NOT NULL,
    actor           text        NOT NULL,
    on_behalf_of    uuid,
    action          text        NOT NULL,
    conversation_id uuid,
    outcome         text        NOT NULL,
    -- A JSON object, kept as the text that its hash was made from.
    detail          text        NOT NULL,
    previous_hash   bytea       NOT NULL,
    hash            bytea       NOT NULL
);

CREATE INDEX audit_events_on_behalf_of_idx ON audit_events (on_behalf_of, sequence) WHERE on_behalf_of IS NOT NULL;
CREATE INDEX audit_events_conversation_id_idx ON audit_events (conversation_id, sequence)
    WHERE conversation_id IS NOT NULL;
CREATE INDEX audit_events_action_idx ON audit_events (action, sequence);

-- One row: who adds to the log waits for its lock, so that places have no gaps and each row follows one other.
CREATE TABLE audit_head (
    is_only  boolean NOT NULL DEFAULT true CONSTRAINT audit_head_pkey PRIMARY KEY,
    sequence bigint  NOT NULL,
    hash     bytea   NOT NULL,
    CONSTRAINT audit_head_is_only_check CHECK (is_only)
);
INSERT INTO audit_head (sequence, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

-- Gives a row its place, its time and its hashes, whatever was written there. It runs as its owner: who adds a
-- row needs no right to the head. The bytes are those of lcs_domain::audit. Who locks the head has the conversations
-- already that it is about. It looks beside its own table; nobody else may hang it on another (see the REVOKE).
CREATE FUNCTION chain_audit_event() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    head record;
BEGIN
    EXECUTE format('SELECT sequence, hash FROM %I.audit_head FOR UPDATE', TG_TABLE_SCHEMA) INTO STRICT head;
    NEW.sequence := head.sequence + 1;
    NEW.at := clock_timestamp();
    NEW.previous_hash := head.hash;
    NEW.hash := sha256(
        int4send(11) || convert_to('lcs-audit-1', 'UTF8')
        || int4send(32) || NEW.previous_hash
        || int4send(8) || int8send(NEW.sequence)
        || int4send(8) || int8send(round(extract(epoch FROM NEW.at)::numeric * 1000000)::bigint)
        || int4send(octet_length(convert_to(NEW.actor, 'UTF8'))) || convert_to(NEW.actor, 'UTF8')
        || COALESCE(int4send(16) || uuid_send(NEW.on_behalf_of), int4send(-1))
        || int4send(octet_length(convert_to(NEW.action, 'UTF8'))) || convert_to(NEW.action, 'UTF8')
        || COALESCE(int4send(16) || uuid_send(NEW.conversation_id), int4send(-1))
        || int4send(octet_length(convert_to(NEW.outcome, 'UTF8'))) || convert_to(NEW.outcome, 'UTF8')
        || int4send(octet_length(convert_to(NEW.detail, 'UTF8'))) || convert_to(NEW.detail, 'UTF8'));
    EXECUTE format('UPDATE %I.audit_head SET sequence = $1, hash = $2', TG_TABLE_SCHEMA)
        USING NEW.sequence, NEW.hash;
    RETURN NEW;
END;
$$;
REVOKE ALL ON FUNCTION chain_audit_event() FROM PUBLIC;

CREATE TRIGGER audit_events_chain BEFORE INSERT ON audit_events
    FOR EACH ROW EXECUTE FUNCTION chain_audit_event();

-- For the owner too, and for a superuser who does not mean it.
CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is only ever added to' USING ERRCODE = 'insufficient_privilege';
END;
$$;

CREATE TRIGGER audit_events_refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_head_refuse_change BEFORE DELETE OR TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
