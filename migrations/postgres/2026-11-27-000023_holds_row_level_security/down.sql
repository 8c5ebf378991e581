-- Off first: without a policy, nobody would see anything.
ALTER TABLE retention_overrides NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
ALTER TABLE holds NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS retention_overrides_auditor ON retention_overrides;
DROP POLICY IF EXISTS retention_overrides_operator ON retention_overrides;
DROP POLICY retention_overrides_user ON retention_overrides;
DROP POLICY IF EXISTS holds_auditor ON holds;
DROP POLICY IF EXISTS holds_operator ON holds;
DROP POLICY holds_user ON holds;
