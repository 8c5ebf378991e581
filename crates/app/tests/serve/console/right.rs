//! What the console says where it may not, and where the database is gone.

use lcs_storage::testing::{Role, Shutdown, TestPostgres};
use lcs_tests::browser::Browser;

use super::stage::KEY;
use super::{looked_at, sign_in};
use crate::client::{Answer, Client};
use crate::outage::Database;
use crate::process::{CANARY, Place};

const OPERATED: &str = "type: postgresql\noperator: {api_key: an-operators-own-key}";

async fn page(client: &Client, path: &str, status: u16) -> Answer {
    let answer = client.bearer(KEY).get(path).await;
    assert_eq!(answer.status, status, "{path}: {}", answer.text);
    assert!(answer.header("content-type").starts_with("text/html"), "{path}");
    answer
}

#[tokio::test]
async fn under_row_level_security_nothing_is_shown_as_if_nothing_were_there() {
    let database = TestPostgres::secured().await;
    let configuration = format!("{OPERATED}\ndatabase:\n  row_level_security: true");
    let place = Place::at(&database.url_of(Role::Application), &configuration, &[KEY]);
    let process = place.serve().await;
    let id = process.client.begin(&format!("my bird is {CANARY}")).await;
    for path in
        ["", "/conversations", &format!("/conversations/{id}"), &format!("/conversations/{id}/delete")]
    {
        let refused = page(&process.client, &format!("/admin{path}"), 403).await;
        assert!(refused.text.contains("ow-level security hides"), "{}", refused.text);
        assert!(!refused.text.contains(CANARY));
    }
    process.stop().await;
}

#[tokio::test]
async fn with_the_least_rights_it_reads_and_says_what_the_operator_does_elsewhere() {
    let database = TestPostgres::secured().await;
    for table in
        ["conversations", "conversation_turns", "agent_states", "requests", "holds", "retention_overrides"]
    {
        let off = format!("ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY");
        database.execute(&off).await;
    }
    let place = Place::at(&database.url_of(Role::Application), OPERATED, &[KEY]);
    let process = place.serve().await;
    let id = process.client.begin(&format!("my bird is {CANARY}")).await;
    let found = page(&process.client, "/admin/conversations", 200).await;
    assert!(found.text.contains(&id));
    let shown = page(&process.client, &format!("/admin/conversations/{id}"), 200).await;
    assert!(shown.text.contains(CANARY));
    for command in ["hold list", "audit list"] {
        let command = format!("lcs-persistence {command} --conversation {id}");
        assert!(shown.text.contains(&command), "{command}: {}", shown.text);
    }
    assert_eq!(shown.text.matches("database role may not read this.").count(), 2, "{}", shown.text);
    let read = "SELECT actor FROM audit_events WHERE action = 'conversation_read'";
    assert_eq!(database.value(read).await.as_deref(), Some("operator:key"), "that it was read is recorded");
    process.stop().await;
}

#[tokio::test]
async fn while_the_database_is_gone_a_page_says_so() {
    let database = Database::start().await;
    let configuration = format!("{OPERATED}\nfallback:\n  mode: refuse\n  failures_to_open: 1");
    let process = database.place(&configuration).serve().await;
    let id = process.client.begin(&format!("my bird is {CANARY}")).await;
    database.stop(Shutdown::Immediate).await;
    for path in ["/conversations", &format!("/conversations/{id}"), &format!("/conversations/{id}/hold")] {
        let away = page(&process.client, &format!("/admin{path}"), 503).await;
        assert!(away.text.contains("Unable to reach the database"), "{}", away.text);
        assert_eq!(away.header("retry-after"), "1");
    }
    database.restart().await;
    crate::process::until("it is there again", async || {
        process.client.bearer(KEY).get("/admin/conversations").await.status == 200
    })
    .await;
    process.stop().await;
}

#[tokio::test]
async fn what_may_not_be_seen_and_what_cannot_be_is_readable_too() {
    let secured = TestPostgres::secured().await;
    let configuration = format!("{OPERATED}\ndatabase:\n  row_level_security: true");
    let process = Place::at(&secured.url_of(Role::Application), &configuration, &[KEY]).serve().await;
    let browser = Browser::start().await;
    sign_in(&browser, &process, "127.0.0.1").await;
    looked_at(&browser, &process, &[("forbidden", "/conversations".to_owned())]).await;
    process.stop().await;

    let database = Database::start().await;
    let configuration = format!("{OPERATED}\nfallback:\n  mode: refuse\n  failures_to_open: 1");
    let process = database.place(&configuration).serve().await;
    let browser = Browser::start().await;
    sign_in(&browser, &process, "127.0.0.1").await;
    database.stop(Shutdown::Immediate).await;
    looked_at(&browser, &process, &[("unavailable", "/conversations".to_owned())]).await;
    process.stop().await;
}
