//! Migrations: up and down, many at once, and a schema that is not this program's.

use diesel::connection::SimpleConnection;
use lcs_domain::{ConversationRepository, RepositoryError};
use lcs_storage::migration::Migrations;
use lcs_storage::sqlite::Sqlite;

use crate::process::worker;
use crate::support::*;

const ALL: [&str; 10] = [
    "2026-11-22-000001_conversations",
    "2026-11-22-000002_requests",
    "2026-11-22-000003_journal",
    "2026-11-26-000004_audit",
    "2026-11-26-000005_holds",
    "2026-11-26-000006_archives",
    "2026-11-26-000007_erasures",
    "2026-11-26-000008_search",
    "2026-11-26-000010_erasure_archives",
    "2026-11-27-000011_retention_pace",
];
const SCHEMA: &str = "SELECT coalesce(group_concat(type || ' ' || name || ' ' || coalesce(sql, ''), char(10)), '') \
                      AS answer FROM (SELECT * FROM sqlite_schema ORDER BY type, name)";

#[tokio::test]
async fn migrations_go_up_down_and_up_to_the_same_schema() {
    let place = Place::new();
    let store = open(place.config()).await;
    let status = store.status().await.unwrap();
    assert!(status.iter().all(|migration| !migration.applied) && status[0].name == ALL[0]);
    assert_eq!(ask(&mut place.raw(), SCHEMA), "", "a look at the status changes nothing");

    assert_eq!(store.run_pending().await.unwrap(), ALL);
    let schema = ask(&mut place.raw(), SCHEMA);
    assert!(schema.contains("conversation_turns") && schema.contains("STRICT"));
    assert!(store.status().await.unwrap().iter().all(|migration| migration.applied));
    begin(&store).await;

    for name in ALL.into_iter().rev() {
        assert_eq!(store.revert_last().await.unwrap().as_deref(), Some(name));
    }
    assert!(!ask(&mut place.raw(), SCHEMA).contains("conversation"));
    assert_eq!(store.revert_last().await.unwrap(), None);
    assert_eq!(store.run_pending().await.unwrap(), ALL);
    assert_eq!(ask(&mut place.raw(), SCHEMA), schema);
    begin(&store).await;
}

#[tokio::test]
async fn eight_processes_at_once_apply_each_migration_once() {
    for _ in 0..20 {
        let place = Place::new();
        let workers: Vec<_> =
            (0..8).map(|_| worker(&["migrate", place.file().to_str().unwrap()]).spawn().unwrap()).collect();
        let mut applied = Vec::new();
        for worker in workers {
            let output = worker.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            applied.extend(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned));
        }
        assert_eq!(applied, ALL);
        begin(&open(place.config()).await).await;
    }
}

#[tokio::test]
async fn a_schema_from_the_future_is_refused_and_nothing_is_touched() {
    let place = Place::new();
    let store = place.store().await;
    place
        .raw()
        .batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('20991231000001')")
        .unwrap();
    let schema = ask(&mut place.raw(), SCHEMA);
    for error in [store.run_pending().await.unwrap_err(), store.revert_last().await.unwrap_err()] {
        assert!(
            matches!(&error, RepositoryError::SchemaSkew { found, .. } if found == "20991231000001"),
            "{error}"
        );
    }
    assert_eq!(ask(&mut place.raw(), SCHEMA), schema);
    let status = store.status().await.unwrap();
    assert_eq!(status.last().map(|last| (last.name.as_str(), last.applied)), Some(("unknown", true)));
}

#[tokio::test]
async fn a_store_that_was_never_migrated_says_so() {
    let place = Place::new();
    let store = open(place.config()).await;
    let error = ConversationRepository::create(&store, user(), new_conversation()).await.unwrap_err();
    assert!(
        matches!(&error, RepositoryError::SchemaSkew { remedy, .. } if remedy == "run `lcs-persistence migrate run`")
    );
}

#[tokio::test]
async fn another_programs_file_is_refused_and_kept_as_it_is() {
    let place = Place::new();
    place.raw().batch_execute("CREATE TABLE notes (note TEXT); INSERT INTO notes VALUES ('a')").unwrap();
    let before = std::fs::read(place.file()).unwrap();
    let error = Sqlite::open(place.config(), clock()).await.unwrap_err();
    let reason = format!("{} holds another program's tables: name another file", place.file().display());
    assert!(matches!(&error, RepositoryError::Backend { reason: said, .. } if *said == reason), "{error}");
    assert_eq!(std::fs::read(place.file()).unwrap(), before);

    // Also where the tables come after the file was opened.
    let place = Place::new();
    let store = open(place.config()).await;
    place.raw().batch_execute("CREATE TABLE notes (note TEXT)").unwrap();
    let error = store.run_pending().await.unwrap_err();
    assert!(error.to_string().ends_with("another program's tables: name another file"), "{error}");
    assert_eq!(ask(&mut place.raw(), "SELECT group_concat(name) AS answer FROM sqlite_schema"), "notes");
}
