DROP TABLE audit_head;
DROP TABLE audit_events;
DROP FUNCTION refuse_audit_change();
DROP FUNCTION chain_audit_event();
