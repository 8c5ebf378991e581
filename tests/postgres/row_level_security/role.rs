//! The roles of `migrations/roles.sql`: what each of them may do, and what not.

use lcs_domain::diagnostic::Severity;
use lcs_domain::erasure::OwnedConversation;
use lcs_domain::{
    Actor, AuditDetail, DiagnosticRepository, ErasureRepository, ErasureTarget, NewErasure, PageLimit,
    Repositories, RetentionPolicy, RetentionRepository,
};
use lcs_storage::migration::Migrations;
use lcs_storage::testing::{Role, TestPostgres};
use std::time::Duration;

use super::store_as;
use crate::support::{append, begin, saying_with_state};

/// What the server says to `sql` from this role; `None`: it is done.
async fn refused(database: &TestPostgres, role: Role, sql: &str) -> Option<String> {
    let (client, connection) =
        tokio_postgres::connect(&database.url_of(role), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let error = client.batch_execute(sql).await.err()?;
    Some(error.as_db_error().unwrap().message().to_owned())
}

#[tokio::test]
async fn each_role_is_refused_what_is_not_its_work() {
    const OTHERS: &str = "INSERT INTO conversations (conversation_id, user_id, agent_id, model_id) \
                          VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'm')";
    let database = TestPostgres::secured().await;
    begin(&store_as(&database, Role::Application).await).await;
    let everyone = [
        "CREATE TABLE mine (a int)",
        "TRUNCATE conversations CASCADE",
        "DROP TABLE requests",
        "ALTER TABLE conversations DISABLE ROW LEVEL SECURITY",
        "DROP POLICY conversations_user ON conversations",
        "CREATE POLICY mine ON conversations USING (true)",
        "SELECT rolpassword FROM pg_authid",
        "DELETE FROM conversation_turns",
        "DELETE FROM __diesel_schema_migrations",
        "CREATE OR REPLACE FUNCTION refuse_tombstoned_conversation() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE ROLE another",
        "UPDATE conversation_turns SET metadata = '{}'",
    ];
    let application = [
        "DELETE FROM conversations",
        "DELETE FROM conversation_tombstones",
        "INSERT INTO conversation_tombstones VALUES (gen_random_uuid(), '', 'erased', now())",
        OTHERS,
    ];
    let operator = ["UPDATE conversations SET user_id = gen_random_uuid()"];
    let auditor = [
        OTHERS,
        "UPDATE conversations SET status = 'deleted'",
        "DELETE FROM conversations",
        "DELETE FROM requests",
        "DELETE FROM conversation_tombstones",
        "UPDATE agent_states SET revision = 9",
        "INSERT INTO conversation_tombstones VALUES (gen_random_uuid(), '', 'erased', now())",
        "SELECT FROM conversations FOR UPDATE",
    ];
    for (role, own) in [
        (Role::Application, application.as_slice()),
        (Role::Operator, operator.as_slice()),
        (Role::Auditor, auditor.as_slice()),
    ] {
        for sql in everyone.iter().chain(own) {
            let message = refused(&database, role, sql).await.unwrap_or_else(|| panic!("{role}: {sql}"));
            let denied = ["permission denied", "must be owner", "lcs.user_id"];
            assert!(denied.iter().any(|denied| message.contains(denied)), "{role}: {sql}: {message}");
        }
    }
    // The owner is held by it as well, and cannot reach beyond its database.
    for sql in ["SELECT FROM conversations", "SELECT rolpassword FROM pg_authid", "CREATE ROLE another"] {
        assert!(refused(&database, Role::Migrator, sql).await.is_some(), "{sql}");
    }
    assert_eq!(database.value("SELECT count(*) FROM conversations").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_user_sees_writes_and_gives_away_his_own_rows_alone() {
    let database = TestPostgres::secured().await;
    let store = store_as(&database, Role::Application).await;
    let (ada, eve) = (begin(&store).await, begin(&store).await);
    let client = {
        let (client, connection) =
            tokio_postgres::connect(&database.url_of(Role::Application), tokio_postgres::NoTls)
                .await
                .unwrap();
        tokio::spawn(connection);
        client
    };
    let named = format!("SET lcs.user_id = '{}'", ada.user_id);
    client.batch_execute(&named).await.unwrap();
    let seen = client.query("SELECT user_id::text FROM conversations", &[]).await.unwrap();
    let seen: Vec<String> = seen.iter().map(|row| row.get(0)).collect();
    assert_eq!(seen, [ada.user_id.to_string()]);
    let update = "UPDATE conversations SET model_id = 'x'";
    assert_eq!(client.execute(update, &[]).await.unwrap(), 1);
    let give = format!("UPDATE conversations SET user_id = '{}'", eve.user_id);
    let error = client.batch_execute(&give).await.unwrap_err();
    assert!(error.as_db_error().unwrap().message().contains("row-level security policy"), "{error}");
    // An id that somebody else has is in use, whoever asks: the key is one for all users.
    let taken = format!(
        "INSERT INTO conversations (conversation_id, user_id, agent_id, model_id) \
         VALUES ('{}', '{}', gen_random_uuid(), 'm')",
        eve.conversation_id, ada.user_id
    );
    let error = client.batch_execute(&taken).await.unwrap_err();
    let error = error.as_db_error().unwrap();
    assert_eq!((error.constraint(), error.detail()), (Some("conversations_pkey"), None), "no row is quoted");
}

#[tokio::test]
async fn the_operator_cleans_up_for_all_users_and_the_application_cannot() {
    let database = TestPostgres::secured().await;
    let store = store_as(&database, Role::Application).await;
    for _ in 0..2 {
        let conversation = begin(&store).await;
        append(&store, &conversation, saying_with_state(&conversation, "x", 0)).await.unwrap();
    }
    database.execute("UPDATE conversations SET updated_at = now() - interval '100 days'").await;
    let policy = RetentionPolicy::idle_longer_than(Duration::from_hours(24 * 90)).unwrap();
    let error = store.count_due(policy).await.unwrap_err().to_string();
    assert!(error.contains("the operator's role"), "{error}");
    assert!(store.purge_batch(policy, PageLimit::default()).await.is_err());
    let operator = store_as(&database, Role::Operator).await;
    assert_eq!(operator.count_due(policy).await.unwrap(), 2);
    assert_eq!(operator.purge_batch(policy, PageLimit::default()).await.unwrap().purged.len(), 2);
    operator.purge_requests(PageLimit::default()).await.unwrap();
    let left = "SELECT (SELECT count(*) FROM conversation_turns) + (SELECT count(*) FROM agent_states) \
                || ' ' || (SELECT count(*) FROM conversation_tombstones)";
    assert_eq!(database.value(left).await.as_deref(), Some("0 2"));
}

#[tokio::test]
async fn the_operator_erases_and_the_application_learns_what_is_erased_and_no_more() {
    let database = TestPostgres::secured().await;
    let store = store_as(&database, Role::Application).await;
    let conversation = begin(&store).await;
    append(&store, &conversation, saying_with_state(&conversation, "x", 0)).await.unwrap();
    let asked = NewErasure::of(ErasureTarget::User(conversation.user_id), Actor::operator("ada"));
    assert!(store.begin_erasure(asked.clone()).await.is_err());
    let owned =
        OwnedConversation { user_id: conversation.user_id, conversation_id: conversation.conversation_id };
    assert_eq!(store.latest_erasure().await.unwrap(), 0);
    assert_eq!(store.erased(vec![owned]).await.unwrap().conversations, []);
    let operator = store_as(&database, Role::Operator).await;
    operator.begin_erasure(asked.clone()).await.unwrap();
    let step = operator.erase_some(asked.clone(), PageLimit::default()).await.unwrap();
    assert_eq!((step.has_more, step.erasure.removed.turns, step.erasure.removed.agent_states), (false, 1, 1));
    let left = operator.remaining(asked.target).await.unwrap();
    assert!(left.iter().all(|table| table.rows == 0), "{left:?}");
    operator.end_erasure(asked, "{}".to_owned(), AuditDetail::default()).await.unwrap();
    assert!(store.latest_erasure().await.unwrap() > 0);
    let erased = store.erased(vec![owned]).await.unwrap().conversations;
    assert!(erased.len() == 1 && erased[0].is_erased, "{erased:?}");
    for sql in ["SELECT certificate FROM erasures", "DELETE FROM erasures", "UPDATE erasures SET turns = 0"] {
        assert!(refused(&database, Role::Application, sql).await.is_some(), "{sql}");
    }
    assert!(refused(&database, Role::Operator, "DELETE FROM erasures").await.is_some());
    assert!(refused(&database, Role::Auditor, "SELECT certificate FROM erasures").await.is_none());
}

#[tokio::test]
async fn doctor_says_who_runs_it_and_what_he_cannot_see() {
    let database = TestPostgres::secured().await;
    let severities = async |role: Role| {
        let store = store_as(&database, role).await;
        store.ping().await.unwrap();
        let findings = store.diagnose().await.unwrap();
        let find = |check: &str| findings.iter().find(|found| found.check == check).unwrap().clone();
        [find("row_level_security"), find("role"), find("orphaned_turns")]
    };
    for (role, expected, says) in [
        (
            Role::Application,
            [Severity::Ok, Severity::Ok, Severity::Warning],
            "is no superuser and owns no table",
        ),
        (Role::Operator, [Severity::Ok, Severity::Ok, Severity::Ok], "every user's rows"),
        (Role::Auditor, [Severity::Ok, Severity::Ok, Severity::Ok], "every user's rows"),
        (Role::Migrator, [Severity::Ok, Severity::Error, Severity::Warning], "owns agent_states"),
    ] {
        let findings = severities(role).await;
        assert_eq!(findings.clone().map(|found| found.severity), expected, "{role}: {findings:?}");
        assert!(findings[1].detail.contains(says), "{role}: {findings:?}");
    }
    // A migration finds nothing to do, whoever looks.
    for role in [Role::Application, Role::Operator, Role::Migrator] {
        assert!(store_as(&database, role).await.run_pending().await.unwrap().is_empty());
    }
}
