//! However many pages are asked for at once, few connections are made for them.

use futures_util::future::join_all;
use lcs_storage::testing::TestPostgres;

use super::stage::KEY;
use crate::process::{CANARY, Place};

/// How many pages are made at once.
const PAGES: u32 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_pages_than_have_connections_wait_a_moment_and_say_so() {
    let database = TestPostgres::create().await;
    let configuration = "type: postgresql\noperator: {api_key: an-operators-own-key}";
    let place = Place::at(database.url(), configuration, &[KEY, database.password()]);
    let process = place.serve().await;
    let id = process.client.begin(&format!("my bird is {CANARY}")).await;
    // Whoever looks stands still, until the look's own time is over.
    let lock = database.client().await;
    lock.batch_execute("BEGIN; LOCK TABLE conversations IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let client = process.client.bearer(KEY);
    let path = format!("/admin/conversations/{id}");
    let asked = tokio::spawn({
        let (client, path) = (client.clone(), path.clone());
        async move { join_all((0..20).map(|_| client.get(&path))).await }
    });
    let waiting = "SELECT count(*) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock' \
                   AND query LIKE '%LEFT JOIN agent_states%'";
    let mut most = 0;
    while !asked.is_finished() {
        let now: u32 = database.value(waiting).await.unwrap().parse().unwrap();
        most = most.max(now);
    }
    assert_eq!(most, PAGES);
    let answers = asked.await.unwrap();
    let busy = answers.iter().filter(|answer| answer.text.contains("The console is busy"));
    for answer in busy.clone() {
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("retry-after"), "2");
        assert!(answer.header("content-type").starts_with("text/html"));
    }
    assert_eq!(busy.count(), 20 - PAGES as usize);
    assert!(answers.iter().all(|answer| answer.status == 503), "the others took too long");
    lock.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(client.get(&path).await.status, 200, "what was waited for is given back");
    process.stop().await;
}
