//! Retention, legal holds and the audit log, as an operator works with them.

#![expect(clippy::indexing_slicing, reason = "a test that looks for what is not there fails")]

use std::sync::Arc;

use diesel::Connection as _;
use diesel::connection::SimpleConnection as _;
use diesel::sqlite::SqliteConnection;
use lcs_domain::{
    AuditAction, AuditQuery, NewConversation, PageLimit, Repositories, RetentionPolicy, SystemClock, Text,
    UserId,
};
use lcs_storage::migration::Migrations as _;
use lcs_storage::postgres::{Postgres, PostgresConfig};
use lcs_storage::sqlite::{Sqlite, SqliteConfig};
use lcs_storage::testing::TestPostgres;
use serde_json::{Value, json};

use super::Home;

fn begun(home: &Home, arguments: &[&str]) -> String {
    let answer = home.json(&[&["chat", "--once", "hello"], arguments].concat());
    answer["conversation_id"].as_str().unwrap().to_owned()
}

fn actions(home: &Home, arguments: &[&str]) -> Vec<String> {
    let answer = home.json(&[&["audit", "list", "--limit", "200"], arguments].concat());
    let events = answer["events"].as_array().unwrap().iter();
    events.map(|event| event["action"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_is_held_is_kept_and_said_to_be_until_it_is_released() {
    let home = Home::new();
    assert_eq!(home.answer(&["hold", "list"]), "No hold is in force.\n");
    let id = begun(&home, &[]);
    let hold = home.json(&["hold", "place", "--conversation", &id, "--reason", "matter 7"]);
    assert_eq!((&hold["conversation_id"], &hold["reason"]), (&id.as_str().into(), &"matter 7".into()));
    assert!(hold["placed_by"].as_str().unwrap().starts_with("operator:"), "{hold}");
    home.json(&["conversations", "delete", &id]);
    let said = home.answer(&["cleanup"]);
    assert!(said.starts_with("Removed 0 conversations: "), "{said}");
    assert!(said.contains("Kept under legal hold: 1 conversation; see `hold list`."), "{said}");
    assert_eq!(home.json(&["cleanup", "--dry-run"])["held"], 1);
    let listed = home.json(&["hold", "list", "--conversation", &id]);
    assert_eq!(listed["holds"], Value::Array(vec![hold.clone()]));
    let table = home.answer(&["hold", "list"]);
    assert!(table.contains(&id) && table.contains("matter 7"), "{table}");

    let hold_id = hold["hold_id"].as_str().unwrap();
    assert!(home.json(&["hold", "release", hold_id])["released_at"].is_string());
    let cleaned = home.json(&["cleanup"]);
    assert_eq!(json!([cleaned["deleted"], cleaned["held"], cleaned["busy"]]), json!([1, 0, false]));
    let gone = home.failure(&["hold", "place", "--conversation", &id, "--reason", "too late"]);
    assert_eq!(gone, (1, "error: conversation not found".to_owned()));
    let unknown = home.failure(&["hold", "release", "01890000-0000-7000-8000-000000000000"]);
    assert_eq!(unknown, (1, "error: hold not found".to_owned()));
    for mistake in [
        ["hold", "place", "--reason", "x"].as_slice(),
        &["hold", "place", "--conversation", &id],
        &["hold", "place", "--conversation", &id, "--user", "alice", "--reason", "x"],
        &["hold", "release", "abc"],
    ] {
        assert_eq!(home.failure(mistake).0, 2, "{mistake:?}");
    }
}

#[test]
fn what_would_keep_something_is_refused_where_nothing_would_keep_it() {
    const HOLD: &str = "01890000-0000-7000-8000-000000000000";
    let keeping: [&[&str]; 5] = [
        &["hold", "place", "--user", "carol", "--reason", "matter 7"],
        &["hold", "release", HOLD],
        &["retention", "set", "--user", "carol", "--keep", "forever"],
        &["retention", "remove", "--user", "carol"],
        &["restore", "--all"],
    ];
    let home = Home::new();
    for arguments in keeping {
        let (code, said) = home.failure(arguments);
        assert!(code == 1 && said.starts_with("error: there is no database yet at "), "{said}");
        assert!(said.contains("--config") && !said.contains("correct the path"), "nobody wrote one: {said}");
        let written = [&["--database-url", "sqlite:there/is/none.sqlite"], arguments].concat();
        let (code, said) = home.failure(&written);
        assert!(code == 1 && said.contains("correct the path"), "{said}");
        let in_memory = [&["--database-url", "memory:"], arguments].concat();
        let (code, said) = home.failure(&in_memory);
        assert!(code == 1 && said.starts_with("error: the store is memory only"), "{said}");
    }
    assert_eq!(home.json(&["hold", "list"])["holds"], Value::Array(Vec::new()));
    begun(&home, &[]);
    home.json(keeping[0]);
    assert_eq!(home.json(&["hold", "list"])["holds"].as_array().unwrap().len(), 1);
}

#[test]
fn a_released_hold_is_not_placed_again() {
    let home = Home::new();
    let id = begun(&home, &[]);
    let hold = home.json(&["hold", "place", "--conversation", &id, "--reason", "matter 7"]);
    let hold_id = hold["hold_id"].as_str().unwrap();
    let again = ["hold", "place", "--conversation", &id, "--reason", "matter 7", "--id", hold_id];
    assert_eq!(home.json(&again), hold);
    home.json(&["hold", "release", hold_id]);
    let said = format!("error: hold {hold_id} was released, and keeps nothing: place another one");
    assert_eq!(home.failure(&again), (1, said));
}

#[test]
fn a_users_own_retention_is_set_shown_and_taken_back() {
    let home = Home::new();
    let id = begun(&home, &["--user", "alice"]);
    let shown = || home.json(&["conversations", "show", &id, "--user", "alice"])["conversation"].clone();
    let listed = || home.json(&["conversations", "list", "--user", "alice"])["conversations"][0].clone();
    let days = |shown: &Value| {
        let time = |key: &str| shown[key].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
        (time("expires_at") - time("updated_at")).num_days()
    };
    assert_eq!((days(&shown()), days(&listed())), (90, 90));
    let set = home.answer(&["retention", "set", "--user", "alice", "--keep", "7"]);
    assert!(set.ends_with(": kept 7 days.\n"), "{set}");
    assert_eq!((days(&shown()), days(&listed())), (7, 7));
    home.json(&["retention", "set", "--user", "alice", "--keep", "forever"]);
    assert_eq!((&shown()["expires_at"], &listed()["expires_at"]), (&Value::Null, &Value::Null));
    let all = home.json(&["retention", "list"]);
    assert_eq!((all["overrides"].as_array().unwrap().len(), &all["overrides"][0]["days"]), (1, &Value::Null));
    assert!(home.answer(&["retention", "list"]).contains("forever"));
    assert_eq!(home.json(&["retention", "remove", "--user", "alice"])["removed"], true);
    assert_eq!(home.json(&["retention", "remove", "--user", "alice"])["removed"], false);
    assert_eq!(days(&shown()), 90);
    home.json(&["hold", "place", "--user", "alice", "--reason", "matter 7"]);
    assert_eq!(shown()["expires_at"], Value::Null, "it is held");
    for mistake in ["0", "36501", "-1", "ever"] {
        assert_eq!(home.failure(&["retention", "set", "--user", "a", &format!("--keep={mistake}")]).0, 2);
    }
}

#[test]
fn the_audit_log_says_who_did_what_and_notices_a_change() {
    let home = Home::new();
    assert_eq!(home.answer(&["audit", "list", "--action", "purge"]), "Nothing is recorded of that.\n");
    let id = begun(&home, &["--user", "alice"]);
    let other = begun(&home, &[]);
    home.json(&["conversations", "delete", &id, "--user", "alice"]);
    home.json(&["cleanup"]);
    home.json(&["hold", "place", "--conversation", &other, "--reason", "a canary of a matter"]);
    let all = actions(&home, &["--after", "0"]);
    let (migrations, rest): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|action| action == "migration_applied");
    assert!(!migrations.is_empty());
    assert_eq!(rest, ["conversation_deleted", "purge", "hold_placed"]);
    assert_eq!(actions(&home, &["--user", "alice"]), ["conversation_deleted"]);
    assert_eq!(actions(&home, &["--conversation", &id]), ["conversation_deleted", "purge"]);
    assert_eq!(actions(&home, &["--action", "purge"]), ["purge"]);
    assert_eq!(home.failure(&["audit", "list", "--action", "coffee"]).0, 2);
    let log = home.answer(&["audit", "list", "--json"]);
    assert!(!log.contains("canary") && log.contains("operator:"), "{log}");
    let table = home.answer(&["audit", "list"]);
    assert!(table.starts_with("NUMBER") && table.contains("hold_placed"), "{table}");

    let whole = home.json(&["audit", "verify"]);
    assert_eq!((&whole["intact"], &whole["rows"]), (&true.into(), &(migrations.len() + 3).into()));
    assert!(home.answer(&["audit", "verify"]).starts_with("The chain of "));
    let file = home.0.path().join("lcs-persistence/conversations.sqlite");
    let tampering = "DROP TRIGGER audit_events_refuse_update; \
                     UPDATE audit_events SET actor = 'nobody' WHERE action = 'purge'";
    SqliteConnection::establish(file.to_str().unwrap()).unwrap().batch_execute(tampering).unwrap();
    let broken = home.run(&["audit", "verify"]);
    let place = migrations.len() + 2;
    assert_eq!(broken.status.code(), Some(1));
    assert_eq!(super::text(&broken.stdout), format!("The chain is broken at row {place}: it was changed.\n"));
    let broken = home.run(&["audit", "verify", "--json"]);
    let broken: Value = serde_json::from_slice(&broken.stdout).unwrap();
    assert_eq!((&broken["sequence"], &broken["reason"]), (&place.into(), &"changed".into()));
}

/// A killed `cleanup` leaves whole batches, each recorded; the next run does the rest.
async fn cleanup_killed_in_the_middle(home: &Home, url: &[&str], store: &dyn Repositories) {
    const DUE: usize = 120;
    let mut all = std::collections::BTreeSet::new();
    for _ in 0..DUE {
        let new = NewConversation::begin(Text::name("m", "/model_id").unwrap());
        let user_id = UserId::generate();
        let conversation = store.conversations().create(user_id, new).await.unwrap();
        assert!(store.conversations().delete(user_id, conversation.conversation_id).await.unwrap());
        all.insert(conversation.conversation_id.to_string());
    }
    let purges = async || {
        let query =
            AuditQuery { action: Some(AuditAction::Purge), limit: PageLimit::MAX, ..AuditQuery::default() };
        store.audit().records(query).await.unwrap()
    };
    let paced = [url, &["cleanup", "--per-second", "20"]].concat();
    let mut cleanup = home.command(&paced).spawn().unwrap();
    while purges().await.len() < 3 {
        tokio::task::yield_now().await;
    }
    // It would take six seconds.
    cleanup.kill().unwrap();
    cleanup.wait().unwrap();
    let policy = RetentionPolicy::idle_longer_than(std::time::Duration::from_hours(24)).unwrap();
    let left = store.retention().count_due(policy).await.unwrap();
    assert!(left > 0 && left < DUE as u64, "it was killed in the middle: {left}");
    let rest = home.json(&[url, &["cleanup", "--per-second", "0"]].concat());
    assert_eq!(rest["deleted"], left);
    assert_eq!(store.retention().count_due(policy).await.unwrap(), 0);
    let details = purges().await;
    let details =
        details.iter().map(|row| row.detail.as_json()).map(|json| serde_json::from_str(json).unwrap());
    let (mut recorded, mut counted) = (Vec::new(), 0);
    for detail in details.collect::<Vec<Value>>() {
        counted += detail["deleted"].as_u64().unwrap();
        let ids = detail["conversation_ids"].as_array().unwrap().iter();
        recorded.extend(ids.map(|id| id.as_str().unwrap().to_owned()));
    }
    assert_eq!((counted, recorded.len()), (DUE as u64, DUE), "each is recorded once");
    assert_eq!(recorded.into_iter().collect::<std::collections::BTreeSet<_>>(), all);
    assert_eq!(home.json(&[url, &["audit", "verify"]].concat())["intact"], true);
}

#[tokio::test]
async fn a_cleanup_that_is_killed_is_gone_on_with_and_all_is_recorded_once() {
    let home = Home::new();
    let file = home.0.path().join("killed.sqlite");
    let store = Sqlite::open(SqliteConfig::file(&file), Arc::new(SystemClock)).await.unwrap();
    store.run_pending().await.unwrap();
    let url = format!("sqlite:{}", file.display());
    cleanup_killed_in_the_middle(&home, &["--database-url", &url], &store).await;

    let database = TestPostgres::migrated().await;
    let store = Postgres::connect(PostgresConfig::from_url(database.url()).unwrap()).await.unwrap();
    cleanup_killed_in_the_middle(&home, &["--database-url", database.url()], &store).await;
}

#[tokio::test]
async fn a_cleanup_that_others_are_ahead_of_says_so_and_claims_to_have_counted_nothing() {
    let home = Home::new();
    let database = TestPostgres::migrated().await;
    let other = database.client().await;
    let change = async |how: &str, lane: &str| {
        let sql = format!("SELECT pg_advisory_{how}(hashtext('lcs-persistence {lane}'), hashtext('public'))");
        other.batch_execute(&sql).await.unwrap();
    };
    for lane in ["retention", "retention 2"] {
        change("lock", lane).await;
    }
    let cleanup =
        |rate: &str| home.json(&["--database-url", database.url(), "cleanup", "--per-second", rate]);
    for rate in ["0", "1000"] {
        let said = cleanup(rate);
        assert_eq!(json!([said["busy"], said["held"], said["deleted"]]), json!([true, null, 0]));
    }
    for lane in ["retention", "retention 2"] {
        change("unlock", lane).await;
        for rate in ["0", "1"] {
            let said = cleanup(rate);
            assert_eq!(
                json!([said["busy"], said["held"]]),
                json!([false, 0]),
                "with one lane, and with both"
            );
        }
    }
}
