//! Erasure in a file: what is removed is in no part of it any more, the index of words and the log of changes included.

use std::fs;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use lcs_domain::erasure::ErasureStep;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, ConversationRepository, ErasureRepository, ErasureTarget, NewErasure, PageLimit, RepositoryError,
    SearchConversations, TurnRepository, UserId,
};
use lcs_storage::sqlite::{Sqlite, SqliteConfig};

use crate::support::*;

/// What was said: no word of anything else.
const SAID: &str = "xylocanary";

async fn say(store: &Sqlite, user_id: UserId, text: &str) {
    let new = new_conversation();
    let conversation = store.create(user_id, new).await.unwrap();
    store.append(user_id, append(&conversation, turn(text))).await.unwrap();
}

async fn found(store: &Sqlite, user_id: UserId, words: &str) -> usize {
    let search = SearchConversations { query: words.parse().unwrap(), after: None, limit: 100 };
    store.search(user_id, search).await.unwrap().len()
}

/// Erases all in one step.
async fn erase(store: &Sqlite, target: ErasureTarget) -> RepositoryResult<ErasureStep> {
    let asked = NewErasure::of(target, Actor::operator("ada"));
    let begun = store.begin_erasure(asked.clone()).await?;
    store.erase_some(NewErasure { erasure_id: begun.erasure_id, ..asked }, PageLimit::MAX).await
}

async fn words_left(store: &Sqlite, target: ErasureTarget) -> u64 {
    let remaining = store.remaining(target).await.unwrap();
    remaining.iter().find(|table| table.table == "turn_words").unwrap().rows
}

/// Whether any of its files has what was said.
fn is_in_a_file(place: &Place) -> bool {
    fs::read_dir(place.folder()).unwrap().any(|entry| {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        bytes.windows(SAID.len()).any(|found| found == SAID.as_bytes())
    })
}

#[tokio::test]
async fn the_words_of_what_is_erased_are_in_no_part_of_the_file() {
    let place = Place::new();
    let store = place.store().await;
    let (ada, eve) = (UserId::generate(), UserId::generate());
    // Several parts of the index, as searches between appends make them.
    for round in 0..6 {
        say(&store, ada, &format!("{SAID} {SAID}{round}")).await;
        say(&store, eve, "straw").await;
        assert_eq!(found(&store, ada, SAID).await, round + 1);
    }
    assert_eq!(words_left(&store, ErasureTarget::User(ada)).await, 6);
    assert!(is_in_a_file(&place));
    let step = erase(&store, ErasureTarget::User(ada)).await.unwrap();
    assert_eq!((step.has_more, step.erasure.removed.turns), (false, 6));
    assert_eq!(words_left(&store, ErasureTarget::User(ada)).await, 0);
    assert!(!is_in_a_file(&place));
    assert_eq!((found(&store, ada, SAID).await, found(&store, eve, "straw").await), (0, 6));
    place.raw().batch_execute("INSERT INTO turn_words (turn_words) VALUES ('integrity-check')").unwrap();
}

#[tokio::test]
async fn words_that_stand_in_the_index_without_their_turn_are_found_and_erased() {
    let place = Place::new();
    let store = place.store().await;
    let (ada, eve) = (UserId::generate(), UserId::generate());
    say(&store, eve, "straw").await;
    assert_eq!(found(&store, eve, "straw").await, 1);
    let conversation = ErasureTarget::Conversation(lcs_domain::ConversationId::generate());
    for target in [ErasureTarget::User(ada), conversation] {
        assert_eq!(words_left(&store, target).await, 0);
        let planted = format!("INSERT INTO turn_words (rowid, words) VALUES (4711, '{SAID}')");
        place.raw().batch_execute(&planted).unwrap();
        assert_eq!(words_left(&store, target).await, 1);
        erase(&store, target).await.unwrap();
        assert_eq!(words_left(&store, target).await, 0);
        assert!(!is_in_a_file(&place));
    }
    // In the place of another one's turn, but the user's by what it says.
    let digits = ada.as_uuid().simple();
    let planted = format!(
        "DELETE FROM turn_words WHERE rowid = 1; \
         INSERT INTO turn_words (rowid, words) VALUES (1, '{SAID} \u{e000}{digits}')"
    );
    place.raw().batch_execute(&planted).unwrap();
    assert_eq!(words_left(&store, ErasureTarget::User(ada)).await, 1);
    assert_eq!(words_left(&store, conversation).await, 0);
    erase(&store, ErasureTarget::User(ada)).await.unwrap();
    assert_eq!(words_left(&store, ErasureTarget::User(ada)).await, 0);
    assert!(!is_in_a_file(&place));
}

#[tokio::test]
async fn where_somebody_reads_all_the_time_it_is_said_that_the_log_is_not_emptied() {
    let place = Place::new();
    place.store().await;
    let store = open(SqliteConfig { busy_timeout: Duration::from_millis(50), ..place.config() }).await;
    let ada = UserId::generate();
    say(&store, ada, SAID).await;
    let mut reader = place.raw();
    reader.batch_execute("BEGIN; SELECT count(*) FROM conversation_turns").unwrap();
    let refused = erase(&store, ErasureTarget::User(ada)).await.unwrap_err();
    let RepositoryError::Overloaded { reason } = &refused else { panic!("{refused:?}") };
    assert!(reason.contains("write-ahead log") && reason.contains("somebody reads from it"), "{reason}");
    assert!(is_in_a_file(&place), "it was true");
    assert_eq!(ask(&mut place.raw(), "SELECT CAST(count(*) AS TEXT) AS answer FROM conversation_turns"), "0");
    reader.batch_execute("COMMIT").unwrap();
    let step = erase(&store, ErasureTarget::User(ada)).await.unwrap();
    assert_eq!(step.erasure.removed.turns, 1, "the same erasure goes on");
    assert!(!is_in_a_file(&place));
}

/// One who empties the log is told at once that another one is at it: that is nobody who reads.
#[tokio::test]
async fn erasures_at_once_do_not_fail_each_other() {
    let place = Place::new();
    place.store().await;
    let stores = [(); 4].map(|()| open(place.config()));
    let stores = futures_util::future::join_all(stores).await;
    for _ in 0..20 {
        let erasures = stores.iter().map(async |store| {
            let ada = UserId::generate();
            say(store, ada, SAID).await;
            erase(store, ErasureTarget::User(ada)).await.unwrap();
        });
        futures_util::future::join_all(erasures).await;
    }
    assert!(!is_in_a_file(&place));
}
