//! Through a real PgBouncer: what works, and what is refused at start, with the reason.

use std::time::Duration;

use futures_util::future::join_all;
use lcs_domain::{ConversationRepository, Repositories, RepositoryError};
use lcs_storage::migration::Migrations;
use lcs_storage::postgres::{Pooler, Postgres, PostgresConfig};
use lcs_storage::testing::{PrivateCluster, TestPooler, TestPostgres};

use crate::support::{append, begin, config, saying};

/// The store's settings go with the startup packet, which PgBouncer refuses unless it is told not to.
const IGNORE: &str = "ignore_startup_parameters = options";

struct Pooled {
    database: TestPostgres,
    pooler: TestPooler,
    _cluster: PrivateCluster,
}

impl Pooled {
    async fn start(settings: &[&str]) -> Self {
        let cluster = PrivateCluster::start(&[]);
        let database = cluster.database().await;
        let pooler = TestPooler::before(&database, settings).await;
        Self { database, pooler, _cluster: cluster }
    }

    fn config(&self, pooler: Pooler) -> PostgresConfig {
        PostgresConfig {
            host: "127.0.0.1".into(),
            port: self.pooler.port(),
            pooler,
            connect_timeout: Duration::from_secs(8),
            operation_timeout: Duration::from_secs(20),
            ..config(self.database.url())
        }
    }

    async fn store(&self, pooler: Pooler) -> Postgres {
        Postgres::connect(self.config(pooler)).await.unwrap()
    }

    /// That whatever is asked first is refused for good, with this reason.
    async fn assert_refused(&self, pooler: Pooler, reason: &str) {
        for migrates in [true, false] {
            let store = self.store(pooler).await;
            let error = if migrates {
                store.run_pending().await.map(drop).unwrap_err()
            } else {
                store.ping().await.unwrap_err()
            };
            assert!(matches!(error, RepositoryError::Backend { .. }), "{error:?}");
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}

#[tokio::test]
async fn a_pooler_that_is_not_written_down_is_refused_with_what_to_write() {
    let pooled = Pooled::start(&["pool_mode = session"]).await;
    pooled.assert_refused(Pooler::None, "refuses its settings: write how it shares").await;
    let pooled = Pooled::start(&["pool_mode = session", IGNORE]).await;
    pooled.assert_refused(Pooler::None, "drops its settings: write how it shares").await;
}

#[tokio::test]
async fn transaction_mode_before_1_21_is_refused_whatever_is_written_down() {
    let pooled = Pooled::start(&["pool_mode = transaction", IGNORE]).await;
    pooled.assert_refused(Pooler::None, "drops its settings").await;
    pooled.assert_refused(Pooler::Session, "gives one connection to several clients").await;
    let reason = "does not keep the named statements of its clients apart: use PgBouncer 1.21 or later";
    pooled.assert_refused(Pooler::Transaction, reason).await;
}

#[tokio::test]
async fn in_session_mode_the_settings_are_in_force_and_everything_works() {
    // Without `IGNORE`: nothing is sent that PgBouncer does not know.
    let pooled = Pooled::start(&["pool_mode = session"]).await;
    let store = pooled.store(Pooler::Session).await;
    store.run_pending().await.unwrap();
    let conversation = begin(&store).await;
    let other = pooled.database.client().await;
    other.batch_execute("BEGIN; SELECT * FROM conversations FOR UPDATE").await.unwrap();
    let blocked = append(&store, &conversation, saying(&conversation, "x")).await.unwrap_err();
    assert!(blocked.to_string().contains("held the row's lock for too long"), "{blocked}");
    other.batch_execute("COMMIT").await.unwrap();

    let appended = join_all((0..40).map(|_| append(&store, &conversation, saying(&conversation, "x")))).await;
    assert!(appended.iter().all(Result::is_ok), "{appended:?}");
    // Another replica, while the first one holds its connections, and on those that the first one gives back.
    let replica = pooled.store(Pooler::Session).await;
    let appended =
        join_all((0..40).map(|_| append(&replica, &conversation, saying(&conversation, "x")))).await;
    assert!(appended.iter().all(Result::is_ok), "{appended:?}");
    drop(store);
    for _ in 0..5 {
        let next = pooled.store(Pooler::Session).await;
        let pings = join_all((0..10).map(|_| next.ping())).await;
        assert!(pings.iter().all(Result::is_ok), "{pings:?}");
    }
    let head = replica.head(conversation.user_id, conversation.conversation_id).await.unwrap().unwrap();
    assert_eq!(head.turn_count, 80);
}

#[tokio::test]
#[ignore = "needs PgBouncer 1.21 or later, which Debian 12 does not have: PGBOUNCER=its path"]
async fn from_1_21_on_transaction_mode_works_with_the_roles_settings() {
    let settings = ["pool_mode = transaction", "max_prepared_statements = 100", "default_pool_size = 3"];
    let pooled = Pooled::start(&settings).await;
    let direct = Postgres::connect(config(pooled.database.url())).await.unwrap();
    direct.run_pending().await.unwrap();

    pooled.assert_refused(Pooler::None, "refuses its settings").await;
    pooled.assert_refused(Pooler::Session, "gives one connection to several clients").await;
    let error = pooled.store(Pooler::Transaction).await.ping().await.unwrap_err().to_string();
    let commands = error.split_once("run ALTER").unwrap().1.split_once("; then").unwrap().0;
    pooled.database.execute(&format!("ALTER{commands}")).await;
    pooled
        .database
        .execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()")
        .await;

    let (one, other) = (pooled.store(Pooler::Transaction).await, pooled.store(Pooler::Transaction).await);
    assert!(one.run_pending().await.unwrap().is_empty(), "there is nothing to migrate");
    let conversation = begin(&one).await;
    let append = |store: &Postgres| {
        let (store, conversation) = (store.clone(), conversation.clone());
        async move { append(&store, &conversation, saying(&conversation, "x")).await }
    };
    let appended = join_all((0..40).flat_map(|_| [append(&one), append(&other)])).await;
    assert!(appended.iter().all(Result::is_ok), "{appended:?}");
    let head = other.head(conversation.user_id, conversation.conversation_id).await.unwrap().unwrap();
    assert_eq!(head.turn_count, 80);
    let error = one.revert_last().await.unwrap_err().to_string();
    assert!(error.contains("a configuration that leads to the server itself"), "{error}");
}
