//! The store as it should be: opened, written, read, left in the middle.

use std::sync::Arc;

use diesel::connection::SimpleConnection;
use futures_util::FutureExt;
use lcs_domain::*;
use lcs_storage::migration::Migrations;
use lcs_storage::sqlite::{Sqlite, SqliteConfig};

use crate::support::*;

#[tokio::test]
async fn p1_p2_turns_are_stored_once_in_their_order_and_found_after_a_restart() {
    let place = Place::new();
    let store = place.store().await;
    let conversation = begin(&store).await;
    let first = with_state(&conversation, turn("one"), 0);
    let appended = store.append(user(), first.clone()).await.unwrap();
    assert_eq!((appended.turn_number, appended.state_revision, appended.replayed), (Some(1), 1, false));
    let again = store.append(user(), first).await.unwrap();
    assert_eq!((again.turn_number, again.state_revision, again.replayed), (Some(1), 1, true));
    store.append(user(), append(&conversation, turn("two"))).await.unwrap();
    drop(store);

    let store = place.store().await;
    let page = page(&store, conversation.conversation_id).await;
    assert_eq!(page.turn_count, 2);
    assert_eq!(page.turns.iter().map(|turn| turn.turn_number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(page.turns[0].input_messages, Payload::parse("\"one\"").unwrap());
    let state = AgentStateRepository::get(&store, user(), conversation.agent_id).await.unwrap().unwrap();
    assert_eq!((state.revision, state.through_turn), (1, 1));
    assert_eq!(state.agent_config, Payload::parse("{}").unwrap());
    assert_eq!(store.run_pending().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn every_commit_is_synced_to_a_write_ahead_log() {
    let place = Place::new();
    let store = place.store().await;
    begin(&store).await;
    assert_eq!(ask(&mut place.raw(), "SELECT journal_mode AS answer FROM pragma_journal_mode"), "wal");
    assert!(place.folder().join("conversations.db-wal").exists());
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_and_its_folder_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    // Every character that means something to SQLite's URIs or to the shell, and one that is not ASCII.
    let folder = place.folder().join("not there yet").join("a?b#c%20d&e é");
    let file = folder.join("mode=memory;x.db");
    let store = open(SqliteConfig::file(&file)).await;
    store.run_pending().await.unwrap();
    begin(&store).await;
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
    assert_eq!(mode(&file.with_extension("db-wal")), 0o600);
}

#[tokio::test]
async fn a_dropped_append_lands_whole() {
    let place = Place::new();
    let store = place.store().await;
    let conversation = begin(&store).await;
    // Another process holds the write lock, so that the append cannot be done before it is dropped.
    let mut other = place.raw();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let append = with_state(&conversation, turn("one"), 0);
    assert!(store.append(user(), append.clone()).now_or_never().is_none(), "it waits for the lock");
    other.batch_execute("COMMIT").unwrap();

    let replay = store.append(user(), append).await.unwrap();
    assert_eq!((replay.turn_number, replay.state_revision, replay.replayed), (Some(1), 1, true));
    assert_eq!(page(&store, conversation.conversation_id).await.turns.len(), 1);
}

#[tokio::test]
async fn a_lock_that_another_process_keeps_is_overloaded_and_nothing_is_lost() {
    let place = Place::new();
    drop(place.store().await);
    let store =
        open(SqliteConfig { busy_timeout: std::time::Duration::from_millis(20), ..place.config() }).await;
    let conversation = begin(&store).await;
    let mut other = place.raw();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let append = append(&conversation, turn("one"));
    let error = store.append(user(), append.clone()).await.unwrap_err();
    assert!(matches!(error, RepositoryError::Overloaded { .. }), "{error}");
    // Who reads is not kept waiting.
    assert_eq!(page(&store, conversation.conversation_id).await.turns.len(), 0);
    other.batch_execute("COMMIT").unwrap();
    assert_eq!(store.append(user(), append).await.unwrap().turn_number, Some(1));
}

#[tokio::test]
async fn a_batch_of_a_purge_waits_for_another_one_for_as_long_as_that_takes() {
    let place = Place::new();
    drop(place.store().await);
    let pool_timeout = std::time::Duration::from_millis(50);
    let store = open(SqliteConfig { pool_timeout, ..place.config() }).await;
    let day = RetentionPolicy::idle_longer_than(std::time::Duration::from_hours(24)).unwrap();
    let mut other = place.raw();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let beside = async {
        // It asks for the writing connection behind both.
        let error = ConversationRepository::create(&store, user(), new_conversation()).await.unwrap_err();
        assert!(matches!(error, RepositoryError::Overloaded { .. }), "{error}");
        other.batch_execute("COMMIT").unwrap();
    };
    let (one, two, ()) =
        tokio::join!(store.purge_batch(day, PageLimit::MAX), store.purge_batch(day, PageLimit::MAX), beside);
    assert_eq!([one.unwrap(), two.unwrap()], [PurgeReport::default(), PurgeReport::default()]);
}

#[test]
fn it_works_on_a_runtime_of_one_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let place = Place::new();
        let store = place.store().await;
        let conversation = begin(&store).await;
        let appends = (0..20).map(|n| store.append(user(), append(&conversation, turn(&n.to_string()))));
        for appended in futures_util::future::join_all(appends).await {
            assert!(appended.unwrap().turn_number.is_some());
        }
        assert_eq!(page(&store, conversation.conversation_id).await.turn_count, 20);
    });
}

#[tokio::test]
async fn p7_idle_time_is_counted_by_the_stores_clock_which_never_turns_a_row_back() {
    let place = Place::new();
    let (early, late) = (Arc::new(manual_clock()), Arc::new(manual_clock()));
    late.advance(std::time::Duration::from_hours(48));
    let store = Sqlite::open(place.config(), late.clone()).await.unwrap();
    store.run_pending().await.unwrap();
    let conversation = begin(&store).await;

    let behind = Sqlite::open(place.config(), early).await.unwrap();
    behind.append(user(), append(&conversation, turn("one"))).await.unwrap();
    let after =
        ConversationRepository::get(&store, user(), conversation.conversation_id).await.unwrap().unwrap();
    assert_eq!(after.updated_at, conversation.updated_at);

    let day = RetentionPolicy::idle_longer_than(std::time::Duration::from_hours(24)).unwrap();
    late.advance(std::time::Duration::from_hours(24));
    assert_eq!(store.count_due(day).await.unwrap(), 0, "idle for as long as is allowed, and no longer");
    late.advance(std::time::Duration::from_micros(1));
    assert_eq!(store.count_due(day).await.unwrap(), 1);
    store.append(user(), append(&conversation, turn("two"))).await.unwrap();
    assert_eq!(store.purge_batch(day, PageLimit::MAX).await.unwrap(), PurgeReport::default());
}

#[tokio::test]
async fn p6_what_was_purged_stays_away_and_leaves_a_tombstone() {
    let place = Place::new();
    let store = place.store().await;
    let new = new_conversation();
    let conversation = ConversationRepository::create(&store, user(), new.clone()).await.unwrap();
    store.append(user(), with_state(&conversation, turn("one"), 0)).await.unwrap();
    assert!(ConversationRepository::delete(&store, user(), conversation.conversation_id).await.unwrap());
    let thousand_years =
        RetentionPolicy::idle_longer_than(std::time::Duration::from_hours(24 * 365_000)).unwrap();
    let report = store.purge_batch(thousand_years, PageLimit::MAX).await.unwrap();
    assert_eq!(
        report.purged.iter().map(|purged| (purged.conversation_id, purged.reason)).collect::<Vec<_>>(),
        [(conversation.conversation_id, PurgeReason::Deleted)]
    );
    let rows = "SELECT (SELECT count(*) FROM conversations) || ' ' || (SELECT count(*) FROM conversation_turns) \
                || ' ' || (SELECT count(*) FROM agent_states) || ' ' || reason || ' ' || length(user_hash) \
                AS answer FROM conversation_tombstones";
    assert_eq!(ask(&mut place.raw(), rows), "0 0 0 deleted 32");
    let error = ConversationRepository::create(&store, user(), new).await.unwrap_err();
    assert!(matches!(error, RepositoryError::AlreadyExists { entity: Entity::Conversation }), "{error}");
    let error = store.append(user(), append(&conversation, turn("late"))).await.unwrap_err();
    assert!(matches!(error, RepositoryError::NotFound { entity: Entity::Conversation }), "{error}");
}
