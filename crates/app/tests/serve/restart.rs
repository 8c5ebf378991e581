//! A conversation survives a restart.

use lcs_storage::testing::TestPostgres;

use crate::process::{CANARY, Place};

async fn survives_a_restart(place: Place) {
    let first = place.serve().await;
    let id = first.client.begin(&format!("my bird is {CANARY}")).await;
    let before = (first.client.history("v1", &id).await, first.client.list().await);
    first.stop().await;
    let second = place.serve().await;
    assert_eq!((second.client.history("v1", &id).await, second.client.list().await), before);
    assert_eq!(second.client.told(&id, &format!("what is my {CANARY}?")).await, not_told());
    assert_eq!(second.client.history("v2", &id).await.len(), 2);
    second.kill().await;
    let third = place.serve().await;
    let history = third.client.history("v2", &id).await;
    assert_eq!(history[0], [format!("my bird is {CANARY}"), remembered()]);
    assert_eq!(history[1], [format!("what is my {CANARY}?"), not_told()]);
    assert_eq!(third.client.list().await[0]["message_count"], 2);
    third.stop().await;
}

fn not_told() -> String {
    format!("You have not told me your {CANARY} yet.")
}

fn remembered() -> String {
    format!("I will remember that your bird is {CANARY}.")
}

#[tokio::test]
async fn a_conversation_survives_a_restart() {
    survives_a_restart(Place::sqlite()).await;
}

#[tokio::test]
async fn a_conversation_survives_a_restart_on_postgres() {
    let database = TestPostgres::create().await;
    survives_a_restart(Place::postgres(&database)).await;
}

#[tokio::test]
async fn two_processes_share_a_file() {
    let place = Place::sqlite();
    let (first, second) = tokio::join!(place.serve(), place.serve());
    let id = first.client.begin(&format!("my bird is {CANARY}")).await;
    assert_eq!(second.client.told(&id, &format!("what is my {CANARY}?")).await, not_told());
    let (one, other) = (format!("my cat is {CANARY} 1"), format!("my dog is {CANARY} 2"));
    // At once, from both.
    tokio::join!(first.client.told(&id, &one), second.client.told(&id, &other));
    assert_eq!(first.client.history("v1", &id).await.len(), 4);
    first.stop().await;
    assert_eq!(second.client.history("v1", &id).await.len(), 4);
    second.stop().await;
}
