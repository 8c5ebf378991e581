//! Switched on and off; and a configuration and a database that do not agree.

use std::fs;
use std::path::Path;

use lcs_domain::diagnostic::Severity;
use lcs_domain::{ConversationRepository, DiagnosticRepository};
use lcs_storage::migration::Migrations;
use lcs_storage::postgres::{Postgres, PostgresConfig};
use lcs_storage::testing::{Role, TestPostgres};

use super::{secured, store_as};
use crate::support::{begin, config};

const TABLES: [&str; 6] =
    ["agent_states", "conversation_turns", "conversations", "holds", "requests", "retention_overrides"];

/// The tables that it is on and forced for.
async fn forced(database: &TestPostgres) -> String {
    let sql = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class
                WHERE relrowsecurity AND relforcerowsecurity";
    database.value(sql).await.unwrap_or_default()
}

/// The documented way back, as the documentation has it.
fn way_back() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/SECURITY.md");
    let text = fs::read_to_string(file).unwrap();
    text.split("```sql\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

#[tokio::test]
async fn it_is_switched_on_by_the_owner_once_and_off_as_documented() {
    let database = TestPostgres::migrated().await;
    assert_eq!(forced(&database).await, "", "policies alone do nothing");
    let plain = Postgres::connect(config(database.url())).await.unwrap();
    assert!(plain.secure().await.unwrap().is_empty(), "it is not asked for");
    let conversation = begin(&plain).await;
    let owner = Postgres::connect(secured(database.url())).await.unwrap();
    assert_eq!(owner.secure().await.unwrap(), TABLES);
    assert!(owner.secure().await.unwrap().is_empty(), "it is on");
    assert_eq!(forced(&database).await, TABLES.join(" "));
    database.execute("ALTER TABLE requests NO FORCE ROW LEVEL SECURITY").await;
    assert_eq!(owner.secure().await.unwrap(), ["requests"]);
    database.execute(&way_back()).await;
    let off = "SELECT count(*) FROM pg_class WHERE relrowsecurity OR relforcerowsecurity";
    let off = format!("{off} AND relnamespace = 'public'::regnamespace");
    assert_eq!(database.value(&off).await.as_deref(), Some("0"));
    let (user, id) = (conversation.user_id, conversation.conversation_id);
    assert!(ConversationRepository::get(&plain, user, id).await.unwrap().is_some());
}

#[tokio::test]
async fn who_does_not_own_the_tables_is_told_so() {
    let database = TestPostgres::secured().await;
    database.execute(&way_back()).await;
    let error = store_as(&database, Role::Application).await.secure().await.unwrap_err().to_string();
    assert!(error.contains("does not own agent_states, ") && error.contains("as their owner"), "{error}");
    assert_eq!(store_as(&database, Role::Migrator).await.secure().await.unwrap(), TABLES);
}

#[tokio::test]
async fn a_migration_back_leaves_no_locked_tables() {
    let database = TestPostgres::migrated().await;
    let owner = Postgres::connect(secured(database.url())).await.unwrap();
    owner.secure().await.unwrap();
    while owner.revert_last().await.unwrap().as_deref() != Some("2026-11-22-000003_row_level_security") {}
    let left =
        "SELECT (SELECT count(*) FROM pg_policies) + (SELECT count(*) FROM pg_class WHERE relrowsecurity)";
    assert_eq!(database.value(left).await.as_deref(), Some("0"));
    owner.run_pending().await.unwrap();
    assert_eq!(database.value("SELECT count(*) FROM pg_policies").await.as_deref(), Some("6"));
}

#[tokio::test]
async fn a_start_is_refused_where_configuration_and_database_do_not_agree() {
    let on = TestPostgres::secured().await;
    let off = TestPostgres::secured().await;
    off.execute(&way_back()).await;
    let check = async |url: &str, row_level_security: bool, is_operator: bool| {
        let store = PostgresConfig { row_level_security, ..config(url) };
        let checked = Postgres::connect(store).await.unwrap().check_security(is_operator).await;
        checked.map_err(|error| error.to_string()).err().unwrap_or_default()
    };
    let application = on.url_of(Role::Application);
    assert_eq!(check(&application, true, false).await, "");
    assert_eq!(check(&on.url_of(Role::Operator), true, true).await, "");
    assert_eq!(check(&off.url_of(Role::Application), false, false).await, "");
    // The superuser sees everything either way, as he did before.
    assert_eq!(check(on.url(), false, false).await, "");
    for (url, configured, says) in [
        (
            &application,
            false,
            "row-level security is on for agent_states, conversation_turns, conversations, holds, requests, \
             retention_overrides, and not configured",
        ),
        (&off.url_of(Role::Application), true, "run `lcs-persistence migrate run` as their owner"),
        (&on.url().to_owned(), true, "is a superuser"),
        (&on.url_of(Role::Migrator), true, "owns agent_states"),
        (&on.url_of(Role::Operator), true, "a policy lets"),
    ] {
        let error = check(url, configured, false).await;
        assert!(error.contains(says), "{says}: {error:?}");
    }
    let bypasses = format!("ALTER ROLE {}_application BYPASSRLS", on.database());
    on.execute(&bypasses).await;
    assert!(check(&application, true, false).await.contains("has BYPASSRLS"));
    on.execute(&bypasses.replace("BYPASSRLS", "NOBYPASSRLS")).await;
    // Without its policy a table would show nothing to anybody.
    on.execute("DROP POLICY requests_user ON requests").await;
    assert!(check(&application, true, false).await.contains("not in force on requests"));
}

#[tokio::test]
async fn doctor_says_whether_it_is_in_force() {
    let database = TestPostgres::secured().await;
    let role = database.url_of(Role::Application);
    let finding = async |row_level_security: bool| {
        let store = PostgresConfig { row_level_security, ..config(&role) };
        let findings = Postgres::connect(store).await.unwrap().diagnose().await.unwrap();
        let found = findings.into_iter().find(|found| found.check == "row_level_security").unwrap();
        (found.severity, found.detail)
    };
    assert_eq!(finding(true).await, (Severity::Ok, "on and forced for all 6 tables of users".to_owned()));
    assert_eq!(finding(false).await.0, Severity::Error);
    database.execute("ALTER TABLE requests NO FORCE ROW LEVEL SECURITY").await;
    let (severity, detail) = finding(true).await;
    assert!(severity == Severity::Error && detail.contains("not in force on requests:"), "{detail}");
    database.execute(&way_back()).await;
    assert_eq!(finding(false).await.0, Severity::Ok);
}
