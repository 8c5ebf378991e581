//! The audit log in PostgreSQL: who may touch it, and that what the database computes is what the domain does.

use std::time::Duration;

use futures_util::future::join_all;
use lcs_domain::audit::{AuditBreak, AuditVerification, verify};
use lcs_domain::{
    Actor, AuditAction, AuditDetail, AuditQuery, AuditRepository, ConversationId, ConversationRepository,
    NewAuditEvent, PageLimit, Repositories, RetentionPolicy, RetentionRepository, UserId,
};
use lcs_storage::postgres::{Postgres, PostgresConfig};
use lcs_storage::testing::{Role, TestPostgres};

use crate::support::{append, begin, config, saying, single, store};

fn event(number: u64) -> NewAuditEvent {
    NewAuditEvent {
        on_behalf_of: number.is_multiple_of(2).then(UserId::generate),
        conversation_id: number.is_multiple_of(3).then(ConversationId::generate),
        detail: AuditDetail::default().count("number", number),
        ..NewAuditEvent::done(Actor::operator("zo\u{eb} \u{1f600}"), AuditAction::Export)
    }
}

async fn verified(store: &Postgres) -> Result<u64, (u64, AuditBreak)> {
    match verify(store.audit()).await.unwrap() {
        AuditVerification::Intact(head) => Ok(head.sequence),
        AuditVerification::Broken { sequence, reason } => Err((sequence, reason)),
    }
}

#[tokio::test]
async fn the_database_computes_the_hashes_that_the_domain_does() {
    let database = TestPostgres::create().await;
    let store = single(database.url()).await;
    for number in 0..6 {
        store.record(event(number)).await.unwrap();
    }
    // Whatever is written into the columns that the trigger fills: it fills them. Times of any year are counted right.
    database
        .execute(
            "INSERT INTO audit_events (sequence, at, actor, action, outcome, detail, previous_hash, hash) \
             VALUES (999, '1234-05-06', '', '', '', '', 'a', 'b')",
        )
        .await;
    let records = store.records(AuditQuery::default()).await.unwrap();
    assert_eq!(records.iter().map(|record| record.sequence).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
    for record in &records {
        assert_eq!(record.hash, record.computed_hash(), "{record:?}");
        assert!(record.at.timestamp() > 1_700_000_000, "{record:?}");
    }
    assert_eq!(verified(&store).await, Ok(7));
}

/// Makes the turns that go with their conversation wait for a lock that is free otherwise.
const SLOW_CASCADE: &str = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS \
    $$ BEGIN PERFORM pg_advisory_xact_lock(7, 7); RETURN OLD; END $$; \
    CREATE TRIGGER wait BEFORE DELETE ON conversation_turns FOR EACH ROW EXECUTE FUNCTION wait()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_who_deletes_waits_for_what_goes_with_purged_conversations() {
    let database = TestPostgres::migrated().await;
    let store = store(database.url()).await;
    let (gone, kept) = (begin(&store).await, begin(&store).await);
    append(&store, &gone, saying(&gone, "hello")).await.unwrap();
    store.delete(gone.user_id, gone.conversation_id).await.unwrap();
    database.execute(SLOW_CASCADE).await;
    let holder = database.client().await;
    holder.batch_execute("BEGIN; SELECT pg_advisory_xact_lock(7, 7)").await.unwrap();
    let purger = store.clone();
    let policy = RetentionPolicy::idle_longer_than(Duration::from_hours(24)).unwrap();
    let purge = tokio::spawn(async move { purger.purge_batch(policy, PageLimit::MAX).await });
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    while database.value(waiting).await.as_deref() == Some("0") && !purge.is_finished() {
        tokio::task::yield_now().await;
    }
    assert!(store.delete(kept.user_id, kept.conversation_id).await.unwrap());
    holder.batch_execute("COMMIT").await.unwrap();
    assert_eq!(purge.await.unwrap().unwrap().purged.len(), 1);
    let records = store.records(AuditQuery::default()).await.unwrap();
    let of_purges: Vec<_> = records.iter().filter(|record| record.action == "purge").collect();
    let [record] = of_purges.as_slice() else { panic!("{records:?}") };
    assert!(record.detail.as_json().contains(&gone.conversation_id.to_string()), "{record:?}");
    // A batch that removes only what was deleted meanwhile is recorded, and one that removes nothing is not.
    for count in [1, 0, 0] {
        assert_eq!(store.purge_batch(policy, PageLimit::MAX).await.unwrap().purged.len(), count);
    }
    assert_eq!(store.records(AuditQuery::default()).await.unwrap().len(), records.len() + 1);
    verified(&store).await.unwrap();
}

#[tokio::test]
async fn a_row_that_was_changed_or_removed_is_found_whoever_did_it() {
    let database = TestPostgres::create().await;
    let store = single(database.url()).await;
    for number in 0..5 {
        store.record(event(number)).await.unwrap();
    }
    // The owner is a superuser here, and is refused all the same.
    let client = database.client().await;
    for sql in [
        "UPDATE audit_events SET actor = 'x'",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
        "DELETE FROM audit_head",
        "TRUNCATE audit_head",
    ] {
        let error = client.batch_execute(sql).await.unwrap_err();
        assert_eq!(error.as_db_error().unwrap().message(), "the audit log is only ever added to", "{sql}");
    }
    assert_eq!(verified(&store).await, Ok(5));
    // Who means it switches the triggers off.
    let tampered = async |sql: &str| {
        let (table, backup) = ("audit_events", "CREATE TABLE backup AS SELECT * FROM audit_events");
        let restore =
            "TRUNCATE audit_events; INSERT INTO audit_events SELECT * FROM backup; DROP TABLE backup";
        database.execute(&format!("ALTER TABLE {table} DISABLE TRIGGER USER; {backup}; {sql}")).await;
        let found = verified(&store).await;
        database.execute(&format!("{restore}; ALTER TABLE {table} ENABLE TRIGGER USER")).await;
        found
    };
    for (sql, expected) in [
        ("UPDATE audit_events SET outcome = 'refused' WHERE sequence = 3", (3, AuditBreak::Changed)),
        ("UPDATE audit_events SET detail = '{}' WHERE sequence = 2", (2, AuditBreak::Changed)),
        (
            "UPDATE audit_events SET at = at + interval '1 microsecond' WHERE sequence = 1",
            (1, AuditBreak::Changed),
        ),
        ("DELETE FROM audit_events WHERE sequence = 4", (4, AuditBreak::Missing)),
        ("DELETE FROM audit_events WHERE sequence = 5", (5, AuditBreak::Missing)),
        ("DELETE FROM audit_events", (1, AuditBreak::Missing)),
        (
            "DELETE FROM audit_events WHERE sequence = 2; \
             UPDATE audit_events SET sequence = sequence - 1 WHERE sequence > 2",
            (2, AuditBreak::Unlinked),
        ),
    ] {
        assert_eq!(tampered(sql).await, Err(expected), "{sql}");
    }
    assert_eq!(verified(&store).await, Ok(5), "and all is as it was");
}

#[tokio::test]
async fn the_roles_add_to_the_log_and_nobody_changes_it() {
    let database = TestPostgres::secured().await;
    let as_role = async |role: Role| {
        let config = PostgresConfig { row_level_security: true, ..config(&database.url_of(role)) };
        Postgres::connect(config).await.unwrap()
    };
    let (application, operator) = (as_role(Role::Application).await, as_role(Role::Operator).await);
    application.record(event(1)).await.unwrap();
    let conversation = begin(&application).await;
    let (user, id) = (conversation.user_id, conversation.conversation_id);
    assert!(ConversationRepository::delete(&application, user, id).await.unwrap());
    operator.record(event(2)).await.unwrap();
    for reader in [&operator, &as_role(Role::Auditor).await] {
        assert_eq!(verified(reader).await, Ok(3));
    }
    assert!(application.records(AuditQuery::default()).await.is_err(), "the application cannot read it");
    assert!(as_role(Role::Auditor).await.record(event(3)).await.is_err(), "the auditor only reads it");
    for role in [Role::Application, Role::Operator, Role::Auditor] {
        let (client, connection) =
            tokio_postgres::connect(&database.url_of(role), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        for sql in [
            "UPDATE audit_events SET actor = 'x'",
            "DELETE FROM audit_events",
            "TRUNCATE audit_events",
            "UPDATE audit_head SET sequence = 0",
            "DELETE FROM audit_head",
            "INSERT INTO audit_head VALUES (true, 0, '')",
            "ALTER TABLE audit_events DISABLE TRIGGER USER",
            "DROP TRIGGER audit_events_chain ON audit_events",
            "INSERT INTO audit_events (sequence, at, actor, action, outcome, detail, previous_hash, hash) \
             VALUES (1, now(), '', '', '', '', '', '')",
            // To hang the owner's function on a table of one's own would be to act as the owner there.
            "CREATE TEMP TABLE mine (a int); \
             CREATE TRIGGER mine BEFORE INSERT ON mine FOR EACH ROW EXECUTE FUNCTION chain_audit_event()",
        ] {
            let error = client.batch_execute(sql).await.expect_err(sql);
            let message = error.as_db_error().unwrap().message().to_owned();
            let denied = ["permission denied", "must be owner"];
            assert!(denied.iter().any(|denied| message.contains(denied)), "{role}: {sql}: {message}");
        }
    }
    assert_eq!(verified(&operator).await, Ok(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletes_on_several_replicas_at_once_are_one_chain() {
    let database = TestPostgres::migrated().await;
    let replicas = [single(database.url()).await, single(database.url()).await, single(database.url()).await];
    let conversations = join_all((0..60).map(|_| begin(&replicas[0]))).await;
    let deletes = conversations.iter().enumerate().map(|(number, conversation)| {
        let (store, conversation) = (replicas[number % 3].clone(), conversation.clone());
        tokio::spawn(async move {
            store.delete(conversation.user_id, conversation.conversation_id).await.unwrap()
        })
    });
    assert!(join_all(deletes).await.into_iter().all(Result::unwrap));
    assert_eq!(verified(&replicas[1]).await, Ok(60));
}

#[tokio::test]
async fn who_is_configured_is_who_did_it() {
    let database = TestPostgres::migrated().await;
    let config = PostgresConfig { actor: Some(Actor::operator("ada")), ..config(database.url()) };
    let store = Postgres::connect(config).await.unwrap();
    let conversation = begin(&store).await;
    let (user, id) = (conversation.user_id, conversation.conversation_id);
    assert!(ConversationRepository::delete(&store, user, id).await.unwrap());
    let records = store.records(AuditQuery::default()).await.unwrap();
    assert_eq!((records[0].actor.as_str(), records[0].on_behalf_of), ("operator:ada", Some(user)));
}

#[tokio::test]
async fn a_schema_of_another_name_has_a_log_of_its_own() {
    let database = TestPostgres::create().await;
    let in_schema = async |namespace: &str| {
        let config = PostgresConfig { namespace: namespace.into(), ..config(database.url()) };
        let store = Postgres::connect(config).await.unwrap();
        lcs_storage::migration::Migrations::run_pending(&store).await.unwrap();
        store
    };
    let (one, other) = (in_schema("one").await, in_schema("other").await);
    one.record(event(1)).await.unwrap();
    assert_eq!((verified(&one).await, verified(&other).await), (Ok(1), Ok(0)));
    database.execute("ALTER SCHEMA one RENAME TO moved").await;
    let moved = in_schema("moved").await;
    moved.record(event(2)).await.unwrap();
    assert_eq!((verified(&moved).await, verified(&other).await), (Ok(2), Ok(0)));
}
