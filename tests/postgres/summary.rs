//! Lists of summaries and the connections that they are read on.

use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use lcs_domain::{ConversationRepository, ListSummaries, PoolStatus, Repositories, RepositoryError, UserId};
use lcs_storage::postgres::Postgres;
use lcs_storage::testing::TestPostgres;

use crate::support::single;

/// A user with so many conversations that no buffer on the way holds them.
async fn fill(database: &TestPostgres) -> UserId {
    let user_id = UserId::generate();
    database
        .execute(&format!(
            "INSERT INTO conversations (conversation_id, user_id, agent_id, model_id, topic_summary)
             SELECT gen_random_uuid(), '{user_id}', gen_random_uuid(), 'model', repeat('x', 8000)
               FROM generate_series(1, 3000)"
        ))
        .await;
    user_id
}

fn pool(store: &Postgres) -> PoolStatus {
    store.pool_status().unwrap()
}

#[tokio::test]
async fn a_list_that_is_left_gives_its_connection_back() {
    let database = TestPostgres::create().await;
    let store = single(database.url()).await;
    let user_id = fill(&database).await;
    for read in [0, 1, 100, 3000] {
        let rows = store.summaries(user_id, ListSummaries::default());
        let some: Vec<_> = rows.take(read).try_collect().await.unwrap();
        assert_eq!(some.len(), read);
        store.ping().await.unwrap();
    }
    let pool = pool(&store);
    assert_eq!((pool.size, pool.max_size, pool.connections_created, pool.closed_broken), (1, 1, 1, 0));
}

#[tokio::test]
async fn a_reader_that_stands_still_loses_the_connection_to_others_and_is_told() {
    let database = TestPostgres::create().await;
    let store = single(database.url()).await;
    let user_id = fill(&database).await;
    let mut rows = store.summaries(user_id, ListSummaries::default());
    rows.next().await.unwrap().unwrap();
    assert_eq!((pool(&store).in_use, pool(&store).idle), (1, 0));
    let stuck =
        "SELECT pid FROM pg_stat_activity WHERE wait_event = 'ClientWrite' AND datname = current_database()";
    while database.query(stuck).await.is_empty() {
        tokio::task::yield_now().await;
    }
    // Everything on the way is full: nothing moves but time.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    store.ping().await.unwrap();
    assert_eq!((pool(&store).connections_created, pool(&store).closed_broken), (2, 1));
    let rest: Vec<_> = rows.collect().await;
    assert!(rest.len() < 2999, "it is not whole");
    assert!(matches!(rest.last(), Some(Err(RepositoryError::Overloaded { .. }))), "{:?}", rest.last());
}

#[tokio::test]
async fn a_list_on_a_connection_that_dies_is_begun_anew_or_ends_with_an_error() {
    let database = TestPostgres::create().await;
    let store = single(database.url()).await;
    let user_id = fill(&database).await;
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE application_name = 'lcs-persistence' AND datname = current_database()";
    database.query(kill).await;
    let whole: Vec<_> = store.summaries(user_id, ListSummaries::default()).try_collect().await.unwrap();
    assert_eq!(whole.len(), 3000, "nothing had been handed on yet");

    let mut rows = store.summaries(user_id, ListSummaries::default());
    rows.next().await.unwrap().unwrap();
    database.query(kill).await;
    let rest: Vec<_> = rows.collect().await;
    assert!(matches!(rest.last(), Some(Err(RepositoryError::Unavailable { .. }))), "{:?}", rest.last());
    store.ping().await.unwrap();
}
