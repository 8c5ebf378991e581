//! The store as it should be: created, migrated, written, read.

use lcs_domain::*;
use lcs_storage::migration::Migrations;

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
