-- How row-level security stands on the tables that hold users' rows, and what it is to this role: whether it is
-- on, forced on the owner too, and has its policy; whether this role owns the table, is held by it, and is let
-- through by another policy.
-- $1 namespace
SELECT c.relname::text, c.relrowsecurity, c.relforcerowsecurity,
       EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = c.relname || '_user'),
       pg_has_role(c.relowner, 'MEMBER'), row_security_active(c.oid),
       EXISTS (SELECT FROM pg_policy p, unnest(p.polroles) AS r (role)
                WHERE p.polrelid = c.oid AND p.polname <> c.relname || '_user' AND p.polpermissive
                  AND CASE r.role WHEN 0 THEN true ELSE pg_has_role(r.role, 'MEMBER') END)
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relname IN ('agent_states', 'conversation_turns', 'conversations', 'holds', 'requests',
                                            'retention_overrides')
 ORDER BY c.relname
