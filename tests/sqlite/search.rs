//! The index of words: made by whoever searches, and without what is gone.

use diesel::connection::SimpleConnection;
use lcs_domain::{
    ConversationRepository, RetentionPolicy, RetentionRepository, SearchConversations, TurnRepository,
};
use lcs_domain::{PageLimit, UserId};
use lcs_storage::sqlite::Sqlite;

use crate::support::*;

const WORDS: &str = "SELECT CAST(count(*) AS TEXT) AS answer FROM turn_words WHERE turn_words MATCH 'needle'";

async fn found(store: &Sqlite, user_id: UserId, words: &str) -> usize {
    let search = SearchConversations { query: words.parse().unwrap(), after: None, limit: 100 };
    store.search(user_id, search).await.unwrap().len()
}

async fn say(store: &Sqlite, text: &str) -> lcs_domain::Conversation {
    let conversation = begin(store).await;
    store.append(user(), append(&conversation, turn(text))).await.unwrap();
    conversation
}

async fn purge_deleted(store: &Sqlite) -> usize {
    let policy = RetentionPolicy::idle_longer_than(std::time::Duration::from_hours(24)).unwrap();
    store.purge_batch(policy, PageLimit::MAX).await.unwrap().purged.len()
}

#[tokio::test]
async fn an_append_writes_no_words_and_a_purge_removes_them() {
    let place = Place::new();
    let store = place.store().await;
    let mut said = Vec::new();
    for _ in 0..3 {
        said.push(say(&store, "needle").await);
    }
    assert_eq!(ask(&mut place.raw(), WORDS), "0");
    assert_eq!(found(&store, user(), "needle").await, 3);
    assert_eq!(ask(&mut place.raw(), WORDS), "3");
    // The first, and the last, whose row's number is given again; and one that is not in it yet.
    said.push(say(&store, "needle").await);
    for (gone, left) in [(0, "2"), (3, "2"), (2, "1")] {
        assert!(store.delete(user(), said[gone].conversation_id).await.unwrap());
        assert_eq!(purge_deleted(&store).await, 1);
        assert_eq!(ask(&mut place.raw(), WORDS), left);
    }
    say(&store, "needle").await;
    say(&store, "hay").await;
    assert_eq!(found(&store, user(), "needle").await, 2);
    assert_eq!(found(&store, user(), "hay").await, 1);
    place.raw().batch_execute("INSERT INTO turn_words (turn_words) VALUES ('integrity-check')").unwrap();
}

#[tokio::test]
async fn rows_that_were_numbered_anew_are_searched_anew() {
    let place = Place::new();
    let store = place.store().await;
    let first = say(&store, "hay").await;
    for _ in 0..5 {
        say(&store, "needle").await;
    }
    let second = say(&store, "straw").await;
    assert_eq!(found(&store, user(), "straw").await, 1);
    store.delete(user(), first.conversation_id).await.unwrap();
    assert_eq!(purge_deleted(&store).await, 1);
    // As a dump that is loaded again numbers them.
    place.raw().batch_execute("UPDATE conversation_turns SET rowid = rowid - 1").unwrap();
    // In the meantime one goes and one comes.
    store.delete(user(), second.conversation_id).await.unwrap();
    assert_eq!(purge_deleted(&store).await, 1);
    say(&store, "straw needle").await;
    for (words, count) in [("needle", 6), ("straw", 1), ("hay", 0)] {
        assert_eq!(found(&store, user(), words).await, count, "{words}");
    }
    assert_eq!(ask(&mut place.raw(), WORDS), "6");
}

#[tokio::test]
async fn more_turns_than_a_batch_are_added() {
    let place = Place::new();
    let store = place.store().await;
    let conversation = begin(&store).await;
    for n in 0..1_203 {
        let text = if n % 400 == 0 { "needle" } else { "hay" };
        store.append(user(), append(&conversation, turn(text))).await.unwrap();
    }
    assert_eq!(found(&store, user(), "needle").await, 1);
    assert_eq!(ask(&mut place.raw(), WORDS), "4");
}
