//! A primary that goes, a standby that takes its place: what is lost, and who finds out by himself.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use lcs_domain::{PageLimit, RepositoryError, TurnId, TurnRange, TurnRepository};
use lcs_storage::postgres::{Postgres, PostgresConfig, Server, TargetSessionAttrs};
use lcs_storage::testing::{PrivateCluster, Shutdown, TestPostgres};

use crate::resilience::until;
use crate::support::{append, begin, config, saying, single};

const REPLICATES: [&str; 2] = ["wal_level = replica", "max_wal_senders = 10"];

/// A primary and its standby, with a migrated database.
struct Pair {
    database: TestPostgres,
    primary: PrivateCluster,
    standby: PrivateCluster,
}

impl Pair {
    async fn start() -> Self {
        let primary = PrivateCluster::start(&REPLICATES);
        let database = primary.database().await;
        single(database.url()).await;
        let standby = primary.standby("standby");
        Self { database, primary, standby }
    }

    /// Has each commit wait for the standby.
    async fn synchronize(&self) {
        self.database.execute("ALTER SYSTEM SET synchronous_standby_names = '*'").await;
        self.primary.reload();
        let synchronous = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        until(&self.database, synchronous, "1").await;
    }

    /// Waits until the standby has all that the primary has now.
    async fn catch_up(&self) {
        let behind = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn < pg_current_wal_lsn()";
        until(&self.database, behind, "0").await;
    }

    /// Both, as `host: a,b` has them.
    fn config(&self) -> PostgresConfig {
        let standby = Server { host: "127.0.0.1".into(), port: self.standby.port() };
        PostgresConfig { other_servers: vec![standby], ..config(self.database.url()) }
    }

    async fn store(&self) -> Postgres {
        Postgres::connect(self.config()).await.unwrap()
    }
}

#[tokio::test]
async fn p1_p2_a_promotion_loses_no_acknowledged_append_and_writers_go_on() {
    const WRITERS: usize = 8;
    let pair = Pair::start().await;
    pair.synchronize().await;
    let store = pair.store().await;
    let (acknowledged, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut writers = Vec::new();
    for _ in 0..WRITERS {
        let (store, acknowledged, stop) = (store.clone(), Arc::clone(&acknowledged), Arc::clone(&stop));
        writers.push(tokio::spawn(async move {
            let conversation = begin(&store).await;
            let mut turns: Vec<TurnId> = Vec::new();
            let mut errors = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                let command = saying(&conversation, "x");
                let turn_id = command.turn.turn_id();
                loop {
                    match append(&store, &conversation, command.clone()).await {
                        Ok(appended) => {
                            turns.push(turn_id);
                            assert_eq!(appended.turn_number, u32::try_from(turns.len()).ok());
                            acknowledged.fetch_add(1, Ordering::SeqCst);
                            break;
                        }
                        Err(error) => {
                            assert!(error.is_retryable(), "{error:?}");
                            errors.push(error.to_string());
                        }
                    }
                }
            }
            (conversation, turns, errors)
        }));
    }
    let seen = async |count: usize| {
        let enough = async {
            while acknowledged.load(Ordering::SeqCst) < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), enough).await.expect("writers go on");
    };
    seen(200).await;
    pair.primary.kill();
    let before = acknowledged.load(Ordering::SeqCst);
    pair.standby.promote();
    seen(before + 200).await;
    stop.store(true, Ordering::SeqCst);
    let mut errors = Vec::new();
    for writer in writers {
        let (conversation, turns, seen) = writer.await.unwrap();
        errors.extend(seen);
        let mut stored = Vec::new();
        loop {
            let after = TurnRange::After(u32::try_from(stored.len()).unwrap());
            let (user, id) = (conversation.user_id, conversation.conversation_id);
            let page = store.page(user, id, after, PageLimit::default()).await.unwrap().unwrap();
            if page.turns.is_empty() {
                break;
            }
            stored.extend(page.turns.into_iter().map(|turn| turn.turn_id));
        }
        assert_eq!(stored, turns, "each acknowledged turn once, in its order, and nothing else");
        assert_eq!(stored.iter().collect::<HashSet<_>>().len(), stored.len());
    }
    println!("{before} appends before the promotion, errors that callers saw: {errors:?}");
    assert!(errors.is_empty(), "the outage was shorter than the deadline");
}

#[tokio::test]
async fn a_commit_that_waits_for_a_missing_standby_is_unknown_and_the_same_key_finds_out() {
    let pair = Pair::start().await;
    pair.synchronize().await;
    let patient = pair.store().await;
    let conversation = begin(&patient).await;
    let config = PostgresConfig {
        operation_timeout: Duration::from_millis(2500),
        statement_timeout: Duration::from_millis(200),
        lock_timeout: Duration::from_millis(100),
        ..pair.config()
    };
    let store = Postgres::connect(config).await.unwrap();
    pair.standby.stop(Shutdown::Fast);
    let command = saying(&conversation, "x");
    let error = append(&store, &conversation, command.clone()).await.unwrap_err();
    let key = command.turn.turn_id().to_string();
    assert!(matches!(&error, RepositoryError::OutcomeUnknown { key: named } if *named == key), "{error:?}");
    assert!(!pair.primary.log().contains("canceling wait for synchronous replication"), "never cancelled");
    pair.standby.restart();
    let appended = append(&patient, &conversation, command).await.unwrap();
    assert_eq!(appended.turn_number, Some(1));
    let next = append(&patient, &conversation, saying(&conversation, "y")).await.unwrap();
    assert_eq!(next.turn_number, Some(2), "it was stored once");
}

#[tokio::test]
async fn a_replay_waits_for_the_standby_as_the_first_append_did() {
    let pair = Pair::start().await;
    let store = pair.store().await;
    let conversation = begin(&store).await;
    let command = saying(&conversation, "x");
    append(&store, &conversation, command.clone()).await.unwrap();
    pair.synchronize().await;
    pair.standby.stop(Shutdown::Fast);
    let config = PostgresConfig {
        operation_timeout: Duration::from_secs(1),
        statement_timeout: Duration::from_millis(200),
        ..pair.config()
    };
    let impatient = Postgres::connect(config).await.unwrap();
    let error = append(&impatient, &conversation, command.clone()).await.unwrap_err();
    assert!(matches!(error, RepositoryError::OutcomeUnknown { .. }), "{error:?}");
    pair.standby.restart();
    assert!(append(&store, &conversation, command).await.unwrap().replayed);
}

#[tokio::test]
async fn a_standby_is_passed_over_and_a_server_that_became_one_is_left() {
    let pair = Pair::start().await;
    let standby = Server { host: "127.0.0.1".into(), port: pair.standby.port() };
    let right = pair.config();
    let at = |host: &Server, others: Vec<Server>, target| PostgresConfig {
        host: host.host.clone(),
        port: host.port,
        other_servers: others,
        target_session_attrs: target,
        operation_timeout: Duration::from_secs(2),
        ..right.clone()
    };
    let primary = Server { host: right.host.clone(), port: right.port };
    // The standby stands first, and writes go to the primary.
    let store = Postgres::connect(at(&standby, vec![primary.clone()], None)).await.unwrap();
    let conversation = begin(&store).await;
    append(&store, &conversation, saying(&conversation, "x")).await.unwrap();
    // Where nothing but a standby is there, or anything will do, a write is refused as what it is.
    pair.catch_up().await;
    for target in [None, Some(TargetSessionAttrs::Any), Some(TargetSessionAttrs::ReadWrite)] {
        let reader = Postgres::connect(at(&standby, Vec::new(), target)).await.unwrap();
        let error = append(&reader, &conversation, saying(&conversation, "x")).await.unwrap_err();
        assert!(matches!(error, RepositoryError::ReadOnly { .. }), "{target:?}: {error:?}");
        let (user, id) = (conversation.user_id, conversation.conversation_id);
        let page = reader.page(user, id, TurnRange::Newest, PageLimit::default()).await;
        assert_eq!(page.is_ok(), target != Some(TargetSessionAttrs::ReadWrite), "{target:?}: {page:?}");
    }
    // The other way round: the pool's connections are to a server that takes no writes any more.
    pair.standby.promote();
    pair.database.execute("ALTER SYSTEM SET default_transaction_read_only = on").await;
    pair.primary.reload();
    until(&pair.database, "SHOW default_transaction_read_only", "on").await;
    let appended = append(&store, &conversation, saying(&conversation, "y")).await.unwrap();
    assert_eq!(appended.turn_number, Some(2));
}

#[tokio::test]
async fn servers_that_cannot_be_reached_are_all_named() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let config = PostgresConfig {
        host: "127.0.0.1".into(),
        port,
        other_servers: vec![Server { host: "no-such-host.invalid".into(), port: 1 }],
        operation_timeout: Duration::from_millis(300),
        connect_timeout: Duration::from_secs(30),
        ..PostgresConfig::default()
    };
    let store = Postgres::connect(config).await.unwrap();
    let error = lcs_domain::Repositories::ping(&store).await.unwrap_err();
    assert!(matches!(error, RepositoryError::Unavailable { .. }), "{error:?}");
    let error = error.to_string();
    assert!(error.contains(&format!("nothing listens at 127.0.0.1:{port}")), "{error}");
}
