//! What a replay comes with is begun, or was erased since it was taken.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use lcs_domain::{ErasureTarget, NewConversation};

use super::Harness;
use super::erasure::of_user;
use super::fixture::{Client, EXISTS, assert_refused, beginning, race};

/// P6: what was taken before its user was erased, or its conversation, is not begun by whoever comes late with it; what
/// was taken later is the user's new beginning.
pub async fn p6_what_comes_late_is_not_begun_where_it_was_erased_since(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    let late = async |client: &Client, new: NewConversation, age: TimeDelta| {
        client.store.erasures().create_unless_erased(client.user_id, new, age).await
    };
    let (ago, hour) = (TimeDelta::seconds(30), TimeDelta::hours(1));
    let new = beginning();
    let made = late(&client, new.clone(), hour).await.expect("it is begun").expect("nothing is erased");
    assert_eq!(made.conversation_id, new.conversation_id);
    let again = late(&other, new.clone(), hour).await.expect("it was begun");
    assert_eq!(again.expect("the same").created_at, made.created_at, "done again, it is done once");
    let stranger = client.somebody_else();
    assert_refused(late(&stranger, new.clone(), hour).await, &EXISTS, "another user's id");

    // A conversation that was never here: nothing of it is left but that it is erased.
    let unseen = beginning();
    client.erase(ErasureTarget::Conversation(unseen.conversation_id)).await.expect("it is erased");
    assert_eq!(late(&client, unseen, TimeDelta::zero()).await.expect("it is told"), None);
    assert!(late(&client, beginning(), hour).await.expect("it is begun").is_some(), "another one is not");
    client.erase(of_user(&client)).await.expect("all is erased");
    for client in [&client, &other] {
        assert_eq!(late(client, new.clone(), hour).await.expect("it is told"), None, "it was here");
        assert_eq!(late(client, beginning(), ago).await.expect("it is told"), None, "it was not");
    }
    assert_eq!(client.remaining(of_user(&client)).await, BTreeMap::new());
    let ahead = late(&client, beginning(), -hour).await.expect("it is begun");
    assert!(ahead.is_some(), "taken behind the erasure, by a clock that is ahead");
    assert!(late(&stranger, beginning(), hour).await.expect("it is begun").is_some(), "another user's");
    client.assert_sound().await;
}

/// What comes late while its user is erased is erased with the rest, or not begun: nothing is there afterwards.
pub async fn what_comes_late_while_its_user_is_erased_is_not_there_afterwards(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    for round in 0..50 {
        let owner = client.somebody_else();
        owner.lived().await;
        let writer = Client { user_id: owner.user_id, ..other.clone() };
        let (remover, target) = (owner.clone(), of_user(&owner));
        let (late, erased) = race(
            async move {
                let user_id = writer.user_id;
                let age = TimeDelta::hours(1);
                writer.store.erasures().create_unless_erased(user_id, beginning(), age).await
            },
            async move { remover.erase(target).await },
            round,
        )
        .await;
        let begun = u64::from(late.expect("it is told").is_some());
        assert_eq!(erased.expect("it is erased").removed.conversations, 1 + begun, "round {round}");
        assert_eq!(owner.remaining(of_user(&owner)).await, BTreeMap::new(), "round {round}");
    }
    client.assert_sound().await;
}
