//! Retention beside other work.

use futures_util::future::join_all;
use lcs_domain::{ConversationRepository, Entity, PageLimit, RepositoryError, RetentionRepository};
use lcs_storage::migration::Migrations;
use lcs_storage::testing::TestPostgres;

use crate::support::{append, begin, ninety_days, saying, store};

const AGE: &str = "UPDATE conversations SET updated_at = updated_at - interval '100 days'";

/// What a batch has one of.
const LANES: [&str; 2] = ["lcs-persistence retention", "lcs-persistence retention 2"];

#[tokio::test]
async fn p7_a_conversation_that_is_waking_up_is_passed_over_and_then_kept() {
    let database = TestPostgres::create().await;
    let store = store(database.url()).await;
    store.run_pending().await.unwrap();
    let conversation = begin(&store).await;
    database.execute(AGE).await;
    assert_eq!(store.count_due(ninety_days()).await.unwrap(), 1);
    let waker = database.client().await;
    waker.batch_execute("BEGIN; UPDATE conversations SET updated_at = now()").await.unwrap();
    // Selected by what is committed, and locked by the waker: no wait, no purge.
    assert!(store.purge_batch(ninety_days(), PageLimit::default()).await.unwrap().purged.is_empty());
    waker.batch_execute("COMMIT").await.unwrap();
    assert!(store.purge_batch(ninety_days(), PageLimit::default()).await.unwrap().purged.is_empty());
    assert!(store.head(conversation.user_id, conversation.conversation_id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_batch_that_is_not_full_has_looked_at_the_whole_table() {
    let database = TestPostgres::create().await;
    let store = store(database.url()).await;
    store.run_pending().await.unwrap();
    // Some pages of conversations, in the order of their places.
    let conversations: Vec<_> = join_all((0..300).map(|_| begin(&store))).await;
    let purge = async |limit| {
        let batch = store.purge_batch(ninety_days(), PageLimit::new(limit).unwrap()).await.unwrap();
        batch.purged.len()
    };
    let age = async |range: std::ops::Range<usize>| {
        let ids: Vec<_> =
            conversations[range].iter().map(|one| format!("'{}'", one.conversation_id)).collect();
        database.execute(&format!("{AGE} WHERE conversation_id IN ({})", ids.join(", "))).await;
    };
    age(100..200).await;
    assert_eq!([purge(40).await, purge(40).await], [40, 40]);
    // The page on which the first conversation stands that is due: from there the next batch looks on.
    let first_page = async || {
        let due = "SELECT min((ctid::text::point)[0])::int::text FROM conversations
                    WHERE updated_at < now() - interval '1 day'";
        let page = database.query(due).await.into_iter().flatten().next().flatten().unwrap();
        page.parse::<u32>().unwrap()
    };
    let from = first_page().await;
    age(0..10).await;
    age(290..300).await;
    assert!(first_page().await < from, "some are due before that page");
    assert_eq!([purge(200).await, purge(200).await], [40, 0]);
    assert_eq!(database.query("SELECT count(*)::text FROM conversations").await, [[Some("180".to_owned())]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p7_wake_ups_and_two_cleaners_at_once_lose_nothing_and_purge_nothing_twice() {
    let database = TestPostgres::create().await;
    let store = store(database.url()).await;
    store.run_pending().await.unwrap();
    let conversations = join_all((0..60).map(|_| begin(&store))).await;
    database.execute(AGE).await;
    let wakers = conversations.iter().map(|conversation| {
        let (store, conversation) = (store.clone(), conversation.clone());
        tokio::spawn(async move {
            let command = saying(&conversation, "awake");
            append(&store, &conversation, command).await
        })
    });
    let cleaners = (0..2).map(|_| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut purged = Vec::new();
            loop {
                let batch = store.purge_batch(ninety_days(), PageLimit::new(3).unwrap()).await.unwrap();
                purged.extend(batch.purged.iter().map(|gone| gone.conversation_id));
                if batch.purged.is_empty() {
                    return purged;
                }
            }
        })
    });
    let (woken, purged) = tokio::join!(join_all(wakers), join_all(cleaners));
    let purged: Vec<_> = purged.into_iter().flat_map(Result::unwrap).collect();
    for (conversation, woken) in conversations.iter().zip(woken) {
        let times = purged.iter().filter(|id| **id == conversation.conversation_id).count();
        let lives = store.head(conversation.user_id, conversation.conversation_id).await.unwrap().is_some();
        match woken.unwrap() {
            Ok(_) => assert_eq!((times, lives), (0, true), "it was awake before it was purged"),
            Err(RepositoryError::NotFound { entity: Entity::Conversation }) => {
                assert_eq!((times, lives), (1, false), "it was purged, once");
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn two_purge_at_a_time_and_another_is_told() {
    let database = TestPostgres::create().await;
    let store = store(database.url()).await;
    store.run_pending().await.unwrap();
    for taken in [&LANES[..1], &LANES[1..], &LANES[..]] {
        begin(&store).await;
        database.execute(AGE).await;
        let others = join_all(taken.iter().map(|_| database.client())).await;
        for (other, lane) in others.iter().zip(taken) {
            let lock = format!("BEGIN; SELECT pg_advisory_xact_lock(hashtext('{lane}'), hashtext('public'))");
            other.batch_execute(&lock).await.unwrap();
        }
        let (is_busy, gone) = (taken == LANES, usize::from(taken != LANES));
        for expected in [(is_busy, gone), (is_busy, 0)] {
            let report = store.purge_batch(ninety_days(), PageLimit::default()).await.unwrap();
            assert_eq!((report.busy, report.purged.len()), expected, "{taken:?}");
        }
        for other in others {
            other.batch_execute("COMMIT").await.unwrap();
        }
    }
    for expected in [1, 0] {
        let report = store.purge_batch(ninety_days(), PageLimit::default()).await.unwrap();
        assert_eq!((report.busy, report.purged.len()), (false, expected));
    }
}
