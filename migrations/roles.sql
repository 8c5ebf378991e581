-- Roles with the least rights, for psql, as a superuser:
--
--     psql -v ON_ERROR_STOP=1 -f migrations/roles.sql postgres://...
--
-- Run it when the tables are there (lcs-persistence migrate run), and again after each upgrade. It can be run any
-- number of times. Other names than these: -v schema=... -v application=... and so on.
--
-- lcs_migrator     owns the tables: migrations, and row-level security on and off
-- lcs_application  what `lcs-persistence serve` does, and nothing else
-- lcs_operator     retention, erasure, export and import, over all users
-- lcs_auditor      reads everything: doctor, reports
--
-- The roles have no passwords: give each one its own with \password.

\if :{?schema}
\else
    \set schema public
\endif
\if :{?migrator}
\else
    \set migrator lcs_migrator
\endif
\if :{?application}
\else
    \set application lcs_application
\endif
\if :{?operator}
\else
    \set operator lcs_operator
\endif
\if :{?auditor}
\else
    \set auditor lcs_auditor
\endif

SELECT format('CREATE ROLE %I LOGIN NOCREATEDB NOCREATEROLE', name)
  FROM unnest(ARRAY[:'migrator', :'application', :'operator', :'auditor']) AS name
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec

BEGIN;

-- What these roles were granted before, they are granted anew below.
REVOKE ALL ON ALL TABLES IN SCHEMA :"schema" FROM :"application", :"operator", :"auditor";
REVOKE CREATE ON SCHEMA :"schema" FROM PUBLIC;
GRANT USAGE ON SCHEMA :"schema" TO :"application", :"operator", :"auditor";

-- The migrator owns what the migrations made, and may make more.
GRANT USAGE, CREATE ON SCHEMA :"schema" TO :"migrator";
SET LOCAL search_path = :"schema";
ALTER TABLE conversations OWNER TO :"migrator";
ALTER TABLE conversation_turns OWNER TO :"migrator";
ALTER TABLE agent_states OWNER TO :"migrator";
ALTER TABLE requests OWNER TO :"migrator";
ALTER TABLE conversation_tombstones OWNER TO :"migrator";
ALTER TABLE archives OWNER TO :"migrator";
ALTER TABLE restorations OWNER TO :"migrator";
ALTER TABLE holds OWNER TO :"migrator";
ALTER TABLE retention_overrides OWNER TO :"migrator";
ALTER TABLE retention_pace OWNER TO :"migrator";
ALTER TABLE erasures OWNER TO :"migrator";
ALTER TABLE audit_events OWNER TO :"migrator";
ALTER TABLE audit_head OWNER TO :"migrator";
ALTER TABLE __diesel_schema_migrations OWNER TO :"migrator";
ALTER FUNCTION refuse_tombstoned_conversation() OWNER TO :"migrator";
ALTER FUNCTION refuse_unknown_status() OWNER TO :"migrator";
ALTER FUNCTION hide_state_of_deleted_conversation() OWNER TO :"migrator";
ALTER FUNCTION conversation_turn_text(jsonb, jsonb) OWNER TO :"migrator";
ALTER FUNCTION conversation_turn_words(jsonb, jsonb) OWNER TO :"migrator";
ALTER FUNCTION refuse_audit_change() OWNER TO :"migrator";
ALTER FUNCTION chain_audit_event() OWNER TO :"migrator";

-- The application: no table is emptied, no conversation removed, no stored turn changed. To lock a turn, which a
-- retried append does, PostgreSQL asks for the right to update one of its columns: this one means the least.
GRANT SELECT, INSERT, UPDATE ON conversations TO :"application";
GRANT SELECT, INSERT, UPDATE (started_at) ON conversation_turns TO :"application";
GRANT SELECT, INSERT, UPDATE, DELETE ON agent_states, requests TO :"application";
GRANT SELECT ON conversation_tombstones, __diesel_schema_migrations TO :"application";

-- The audit log is only ever added to, and what is added gets its place from a trigger that runs as the migrator.
GRANT INSERT (actor, on_behalf_of, action, conversation_id, outcome, detail) ON audit_events
    TO :"application", :"operator";
GRANT SELECT ON audit_events, audit_head TO :"operator", :"auditor";

-- What keeps a user's conversations, without why and by whom.
GRANT SELECT (user_id, conversation_id, released_at) ON holds TO :"application";
GRANT SELECT (user_id, idle_days) ON retention_overrides TO :"application";
GRANT SELECT ON restorations TO :"application";
GRANT SELECT, INSERT, UPDATE ON retention_pace TO :"operator";
GRANT SELECT, INSERT, UPDATE (released_at, released_by) ON holds TO :"operator";
GRANT SELECT, INSERT, UPDATE (idle_days, set_by, set_at), DELETE ON retention_overrides TO :"operator";
GRANT SELECT ON holds, retention_overrides TO :"auditor";

-- What is erased, a replica does not keep in memory nor bring back out of its journal. Certificates are the operator's.
GRANT SELECT (sequence, user_hash, conversation_id, erased_at, audit_sequence) ON erasures TO :"application";
GRANT SELECT, INSERT, UPDATE ON erasures TO :"operator";
GRANT SELECT ON erasures TO :"auditor";
GRANT DELETE ON holds TO :"operator";

-- The operator removes conversations, which he locks; turns and states go with them by their foreign keys.
GRANT SELECT, INSERT, UPDATE (updated_at, status), DELETE ON conversations TO :"operator";
GRANT SELECT, UPDATE (lease_until), DELETE ON requests TO :"operator";
-- What he imports or restores, he writes as it was.
GRANT SELECT, INSERT ON conversation_turns, agent_states TO :"operator";
-- What he deletes for its user he hides, with its agent's state.
GRANT UPDATE (is_deleted) ON agent_states TO :"operator";
GRANT SELECT ON __diesel_schema_migrations TO :"operator";
-- What he archives is named by its tombstone, which a restore lifts.
GRANT SELECT, INSERT, UPDATE (reason, archive_id), DELETE ON conversation_tombstones TO :"operator";
GRANT SELECT, INSERT, UPDATE, DELETE ON archives TO :"operator";
GRANT SELECT, INSERT ON restorations TO :"operator";

GRANT SELECT ON conversations, conversation_turns, agent_states, requests, conversation_tombstones, archives,
    restorations, __diesel_schema_migrations TO :"auditor";

-- What these two may see under row-level security: policies, and not BYPASSRLS, which would be a right in every
-- database of the server.
SELECT format('DROP POLICY IF EXISTS %I ON %I', name || suffix, name)
  FROM unnest(ARRAY['conversations', 'conversation_turns', 'agent_states', 'requests', 'holds', 'retention_overrides'])
       AS name,
       unnest(ARRAY['_operator', '_auditor']) AS suffix
\gexec
SELECT format('CREATE POLICY %I ON %I TO %I USING (true)', name || '_operator', name, :'operator')
  FROM unnest(ARRAY['conversations', 'conversation_turns', 'agent_states', 'requests', 'holds', 'retention_overrides'])
       AS name
\gexec
SELECT format('CREATE POLICY %I ON %I FOR SELECT TO %I USING (true)', name || '_auditor', name, :'auditor')
  FROM unnest(ARRAY['conversations', 'conversation_turns', 'agent_states', 'requests', 'holds', 'retention_overrides'])
       AS name
\gexec

COMMIT;
