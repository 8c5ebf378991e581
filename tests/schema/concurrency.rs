//! Replicas that boot at once, old ones beside new ones, and the way back.

use std::process::{Command, Stdio};

use lcs_domain::RepositoryError;
use lcs_storage::migration::Migrations;
use lcs_storage::testing::TestPostgres;

use crate::postgres::store;
use crate::tool::dump;

#[tokio::test]
async fn eight_replicas_boot_at_once_and_each_migration_is_applied_once() {
    for round in 0..20 {
        let database = TestPostgres::create().await;
        let mut replicas: Vec<_> = (0..8)
            .map(|_| {
                let mut replica = Command::new(env!("CARGO_BIN_EXE_migrate-worker"));
                replica.arg(database.url()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
            })
            .collect();
        // They are all up and waiting: the end of their input is the start.
        drop(replicas.iter_mut().map(|replica| replica.stdin.take()).collect::<Vec<_>>());
        let mut applied = Vec::new();
        for replica in replicas {
            let output = replica.wait_with_output().unwrap();
            assert!(output.status.success(), "round {round}");
            applied.extend(String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned));
        }
        applied.sort();
        let status = store(&database).await.status().await.unwrap();
        assert!(status.iter().all(|migration| migration.applied));
        let known: Vec<_> = status.into_iter().map(|migration| migration.name).collect();
        assert!(!known.is_empty());
        assert_eq!(applied, known, "round {round}: each was applied by one of them");
    }
}

#[tokio::test]
async fn up_down_up_leads_back_to_the_same_schema() {
    let database = TestPostgres::create().await;
    let store = store(&database).await;
    let names = store.run_pending().await.unwrap();
    let up = dump(&database);
    assert!(up.contains("CREATE TABLE public.conversations"), "{up}");

    let mut reverted = Vec::new();
    while let Some(name) = store.revert_last().await.unwrap() {
        reverted.push(name);
    }
    reverted.reverse();
    assert_eq!(reverted, names);
    let left = database.query(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
           AND relname NOT LIKE '\\_\\_diesel%'
         UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    );
    assert_eq!(left.await, Vec::<Vec<_>>::new());

    assert_eq!(store.run_pending().await.unwrap(), names);
    assert_eq!(dump(&database), up);
}

#[tokio::test]
async fn a_newer_schema_is_told_and_not_touched() {
    let database = TestPostgres::create().await;
    let store = store(&database).await;
    store.run_pending().await.unwrap();
    store.revert_last().await.unwrap();
    // Something is pending, and something is unknown: neither is a reason to touch anything.
    database.execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('99991231000000')").await;
    let before = (dump(&database), database.query("SELECT * FROM __diesel_schema_migrations").await);

    for refused in [store.run_pending().await.map(|_| ()), store.revert_last().await.map(|_| ())] {
        match refused {
            Err(RepositoryError::SchemaSkew { found, .. }) => {
                assert!(found.contains("99991231000000"), "{found}");
            }
            other => panic!("{other:?}"),
        }
    }
    let unknown = store.status().await.unwrap().pop().unwrap();
    assert_eq!((unknown.name.as_str(), unknown.applied), ("unknown", true));
    assert_eq!((dump(&database), database.query("SELECT * FROM __diesel_schema_migrations").await), before);
}

#[tokio::test]
async fn a_look_at_the_status_leaves_an_empty_database_empty() {
    let database = TestPostgres::create().await;
    let before = dump(&database);
    let status = store(&database).await.status().await.unwrap();
    assert!(!status.is_empty() && status.iter().all(|migration| !migration.applied));
    assert_eq!(dump(&database), before);
}
