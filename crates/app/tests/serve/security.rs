//! Row-level security from the command line: switched on by the migrator, served by the application.

use lcs_storage::testing::{Role, TestPostgres};
use serde_json::{Value, json};

use crate::process::{CANARY, Place, until};

const SECURED: &str = "type: postgresql\ndatabase:\n  row_level_security: true";

fn place(url: &str) -> Place {
    Place::at(url, SECURED, &[])
}

/// What a command answers in JSON.
async fn json_of(place: &Place, arguments: &[&str]) -> Value {
    let output = place.command(&[arguments, &["--json"]].concat()).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn it_serves_as_the_application_and_is_cleaned_up_by_the_operator() {
    let database = TestPostgres::secured().await;
    database.execute("ALTER TABLE requests NO FORCE ROW LEVEL SECURITY").await;
    let refused = place(&database.url_of(Role::Application)).refused(&["--port", "0"]).await;
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("not in force on requests") && said.contains("migrate run"), "{said}");
    let migrated = json_of(&place(&database.url_of(Role::Migrator)), &["migrate", "run"]).await;
    assert_eq!(migrated, json!({ "applied": [], "secured": ["requests"] }));

    let process = place(&database.url_of(Role::Application)).serve().await;
    assert!(process.log().contains("run cleanup as the operator"), "{}", process.log());
    process.client.ask(None, &format!("my bird is {CANARY}")).await.expect(200);
    assert_eq!(process.client.list().await.len(), 1);
    // What the start would refuse takes the traffic away from one that runs.
    assert_eq!(process.client.get("/readiness").await.expect(200)["ready"], true);
    database.execute("ALTER TABLE requests NO FORCE ROW LEVEL SECURITY").await;
    until("it is not ready", async || process.client.get("/readiness").await.status == 503).await;
    database.execute("ALTER TABLE requests FORCE ROW LEVEL SECURITY").await;
    process.stop().await;

    database.execute("UPDATE conversations SET updated_at = now() - interval '100 days'").await;
    let removed = json_of(&place(&database.url_of(Role::Operator)), &["cleanup"]).await;
    assert_eq!(removed["expired"], 1);
}

#[tokio::test]
async fn it_refuses_to_serve_where_the_lock_would_not_hold_or_would_hide_everything() {
    let database = TestPostgres::secured().await;
    for (place, says) in [
        (place(database.url()), "is a superuser"),
        (place(&database.url_of(Role::Migrator)), "owns agent_states"),
        (place(&database.url_of(Role::Operator)), "every user's rows"),
        (
            Place::at(&database.url_of(Role::Application), "", &[]),
            "set persistence.database.row_level_security",
        ),
    ] {
        let refused = place.refused(&["--port", "0"]).await;
        let said = String::from_utf8(refused.stderr).unwrap();
        let last = said.lines().last().unwrap_or_default();
        assert!(last.starts_with("error: ") && last.contains(says), "{says}: {said}");
        assert_eq!(refused.status.code(), Some(1));
    }
}
