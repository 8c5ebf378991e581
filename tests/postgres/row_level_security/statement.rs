//! A statement in its transaction: what is sent, what is left behind, what it costs.

use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use lcs_domain::{
    ConversationRepository, Entity, ListSummaries, NewConversation, RepositoryError, RequestRepository,
    UserId,
};
use lcs_storage::postgres::{Postgres, PostgresConfig};
use lcs_storage::testing::{Role, TestPostgres};
use tokio::time::Instant;

use super::{secured, store_as};
use crate::support::{append, asking, begin, saying, single};

/// How many connections of the service stand in an open transaction, and how many there are.
async fn open_transactions(database: &TestPostgres) -> (String, String) {
    let sql = format!(
        "SELECT count(*) FILTER (WHERE state <> 'idle'), count(*) FROM pg_stat_activity
          WHERE datname = '{}' AND application_name = 'lcs-persistence'",
        database.database()
    );
    let mut row = database.query(&sql).await.remove(0).into_iter().map(Option::unwrap);
    (row.next().unwrap(), row.next().unwrap())
}

#[tokio::test]
async fn a_refused_statement_leaves_no_transaction_and_keeps_its_connection() {
    let database = TestPostgres::secured().await;
    let store = store_as(&database, Role::Application).await;
    let conversation = begin(&store).await;
    let request = asking(None);
    // The first time it is parsed, and then it is not.
    for _ in 0..3 {
        store.begin(conversation.user_id, request.clone()).await.unwrap();
        // The id is another user's now: the insert fails at its primary key.
        let refused = store.begin(UserId::generate(), request.clone()).await.unwrap_err();
        assert!(matches!(refused, RepositoryError::AlreadyExists { entity: Entity::Request }), "{refused:?}");
        assert_eq!(open_transactions(&database).await, ("0".into(), "1".into()));
        append(&store, &conversation, saying(&conversation, "on")).await.unwrap();
    }
    let made = "SELECT min(backend_start) = max(backend_start) FROM pg_stat_activity \
                WHERE application_name = 'lcs-persistence' AND datname = current_database()";
    assert_eq!(database.value(made).await.as_deref(), Some("t"));
}

#[tokio::test]
async fn what_ends_too_late_or_is_given_up_leaves_no_transaction() {
    let database = TestPostgres::secured().await;
    let config = PostgresConfig {
        statement_timeout: Duration::from_millis(300),
        lock_timeout: Duration::from_secs(30),
        operation_timeout: Duration::from_millis(900),
        ..secured(&database.url_of(Role::Application))
    };
    let store = Postgres::connect(config).await.unwrap();
    let conversation = begin(&store).await;
    append(&store, &conversation, saying(&conversation, "one")).await.unwrap();
    let holder = database.client().await;
    holder.batch_execute("BEGIN; SELECT FROM conversations FOR UPDATE").await.unwrap();
    let late = append(&store, &conversation, saying(&conversation, "two")).await.unwrap_err();
    assert!(late.is_retryable(), "{late:?}");
    // A read that is dropped when it has just been sent, and a list that is not read on.
    let (user, id) = (conversation.user_id, conversation.conversation_id);
    assert!(store.head(user, id).now_or_never().is_none());
    let mut summaries = store.summaries(user, ListSummaries::default());
    summaries.next().await.unwrap().unwrap();
    drop(summaries);
    holder.batch_execute("ROLLBACK").await.unwrap();
    append(&store, &conversation, saying(&conversation, "three")).await.unwrap();
    let settled = async {
        while open_transactions(&database).await.0 != "0" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), settled).await.expect("every transaction ends");
    // The next one is another user's, on the same connection, and sees nothing of this one's.
    assert!(store.head(UserId::generate(), id).await.unwrap().is_none());
    assert!(store.head(user, id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_statement_that_names_nobody_fails_instead_of_finding_nothing() {
    let database = TestPostgres::secured().await;
    let secured = store_as(&database, Role::Application).await;
    let conversation = begin(&secured).await;
    // As a replica does that was started before row-level security was switched on.
    let config =
        PostgresConfig { row_level_security: false, ..super::secured(&database.url_of(Role::Application)) };
    let unaware = Postgres::connect(config).await.unwrap();
    for _ in 0..2 {
        let (user, id) = (conversation.user_id, conversation.conversation_id);
        let error = ConversationRepository::get(&unaware, user, id).await.unwrap_err();
        assert!(error.to_string().contains("set persistence.database.row_level_security to true"), "{error}");
        let new = NewConversation::begin(conversation.model_id.clone());
        assert!(ConversationRepository::create(&unaware, user, new).await.is_err());
    }
}

/// What row-level security costs an append: `cargo nextest run -p lcs-tests --run-ignored only -E
/// 'test(the_cost_of_row_level_security)' --no-capture`.
#[tokio::test]
#[ignore = "a measurement: it asserts nothing of speed"]
async fn the_cost_of_row_level_security() {
    const PAIRS: usize = 30;
    const APPENDS: u32 = 100;
    let plain = TestPostgres::migrated().await;
    let locked = TestPostgres::secured().await;
    let stores = [single(plain.url()).await, store_as(&locked, Role::Application).await];
    let mut conversations = Vec::new();
    for store in &stores {
        conversations.push(begin(store).await);
    }
    let mut ratios = Vec::new();
    let mut times = [Vec::new(), Vec::new()];
    for pair in 0..PAIRS {
        let mut took = [Duration::ZERO; 2];
        // Each goes first every other time.
        for which in [pair % 2, 1 - pair % 2] {
            let began = Instant::now();
            for _ in 0..APPENDS {
                let said = saying(&conversations[which], "hello");
                append(&stores[which], &conversations[which], said).await.unwrap();
            }
            took[which] = began.elapsed() / APPENDS;
            times[which].push(took[which]);
        }
        ratios.push(took[1].as_secs_f64() / took[0].as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    for times in &mut times {
        times.sort();
    }
    println!(
        "an append: {:?} without, {:?} with row-level security; {:.2} times as long (quartiles {:.2} and {:.2})",
        times[0][PAIRS / 2],
        times[1][PAIRS / 2],
        ratios[PAIRS / 2],
        ratios[PAIRS / 4],
        ratios[PAIRS * 3 / 4],
    );
}
