-- Row-level security for what keeps a user's conversations, as migration 3 has it for the conversations: to each user his
-- own, and nothing at all where no user is named. It does nothing until it is switched on (docs/SECURITY.md).
-- In the order in which a purge takes them.
LOCK TABLE retention_overrides, holds IN ACCESS EXCLUSIVE MODE;

CREATE POLICY holds_user ON holds
    USING (user_id = (SELECT current_setting('lcs.user_id')::uuid));
CREATE POLICY retention_overrides_user ON retention_overrides
    USING (user_id = (SELECT current_setting('lcs.user_id')::uuid));

-- Who may see all conversations, by a policy of migrations/roles.sql, sees these too: until that file is run again, an
-- operator's commands would fail.
DO $$
DECLARE
    other record;
BEGIN
    FOR other IN
        SELECT t.name, substr(p.policyname, length('conversations') + 1) AS suffix, p.cmd,
               (SELECT string_agg(quote_ident(r.role), ', ') FROM unnest(p.roles) AS r (role)) AS roles
          FROM pg_policies p, unnest(ARRAY['holds', 'retention_overrides']) AS t (name)
         WHERE p.schemaname = current_schema() AND p.tablename = 'conversations'
           AND p.policyname IN ('conversations_operator', 'conversations_auditor')
    LOOP
        -- It is there where that file was run ahead of this migration.
        EXECUTE format('DROP POLICY IF EXISTS %I ON %I', other.name || other.suffix, other.name);
        EXECUTE format('CREATE POLICY %I ON %I FOR %s TO %s USING (true)',
                       other.name || other.suffix, other.name, other.cmd, other.roles);
    END LOOP;
END $$;
