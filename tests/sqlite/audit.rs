//! The audit log in a file that other programs can open.

use diesel::connection::SimpleConnection;
use lcs_domain::audit::{AuditBreak, AuditVerification, verify};
use lcs_domain::{Actor, AuditAction, AuditRepository, NewAuditEvent, Repositories, RepositoryError};

use crate::support::*;

#[tokio::test]
async fn a_row_that_was_changed_or_removed_is_found_whoever_did_it() {
    let place = Place::new();
    let store = place.store().await;
    for _ in 0..3 {
        store.record(NewAuditEvent::done(Actor::service(), AuditAction::Export)).await.unwrap();
    }
    let mut raw = place.raw();
    for sql in ["UPDATE audit_events SET actor = 'x'", "DELETE FROM audit_events", "DELETE FROM audit_head"] {
        let refused = raw.batch_execute(sql).unwrap_err();
        assert_eq!(refused.to_string(), "the audit log is only ever added to", "{sql}");
    }
    assert!(
        matches!(verify(store.audit()).await.unwrap(), AuditVerification::Intact(end) if end.sequence == 3)
    );
    // Who means it drops the triggers. Each break is nearer to the beginning than the one before.
    raw.batch_execute("DROP TRIGGER audit_events_refuse_update; DROP TRIGGER audit_events_refuse_delete")
        .unwrap();
    for (sql, expected) in [
        ("DELETE FROM audit_events WHERE sequence = 3", (3, AuditBreak::Missing)),
        ("UPDATE audit_events SET action = 'import' WHERE sequence = 2", (2, AuditBreak::Changed)),
        ("DELETE FROM audit_events WHERE sequence = 1", (1, AuditBreak::Missing)),
    ] {
        raw.batch_execute(sql).unwrap();
        match verify(store.audit()).await.unwrap() {
            AuditVerification::Broken { sequence, reason } => {
                assert_eq!((sequence, reason), expected, "{sql}");
            }
            intact @ AuditVerification::Intact(_) => panic!("{sql}: {intact:?}"),
        }
    }
    raw.batch_execute("PRAGMA ignore_check_constraints = ON; UPDATE audit_events SET hash = x'00'").unwrap();
    let error = verify(store.audit()).await.unwrap_err();
    assert!(
        matches!(&error, RepositoryError::Inconsistent { table: "audit_events", column: "hash", row, .. } if row == "2"),
        "{error}"
    );
}
