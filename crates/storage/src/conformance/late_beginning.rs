//! What a replay comes with is begun, or was erased since it was taken; and so is what an import comes with.

use std::collections::BTreeMap;

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::StreamExt as _;
use futures_util::stream;
use lcs_domain::transfer::{Imported, IncomingConversation};
use lcs_domain::{ErasureTarget, NewConversation};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Harness;
use super::erasure::of_user;
use super::fixture::{Client, EXISTS, assert_refused, beginning, race};
use super::transfer::incoming;

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

/// Imports these as a batch of an import that began so long ago.
async fn imported(client: &Client, batch: Vec<IncomingConversation>, age: TimeDelta) -> Vec<Imported> {
    client.store.transfers().import(batch, age).await.expect("an import is answered")
}

/// The same of one, turn by turn.
async fn imported_long(client: &Client, one: IncomingConversation, age: TimeDelta) -> Imported {
    let turns = stream::iter(one.turns.into_iter().map(Ok)).boxed();
    client.store.transfers().import_long(one.head, turns, age).await.expect("an import is answered")
}

fn is_refused(imported: &Imported) -> bool {
    matches!(imported, Imported::Refused(refusal) if refusal.to_string().contains("stays deleted"))
}

/// P6: an import that began before an erasure brings back nothing of the erased user, also not what was never here;
/// what it brought before is erased. One that begins later may.
pub async fn p6_an_import_that_was_begun_before_an_erasure_brings_nothing_back(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let (hour, stranger) = (TimeDelta::hours(1), client.somebody_else());
    let new = || incoming(client.user_id, 2);
    let first = new();
    assert_eq!(imported(&client, vec![first.clone()], hour).await, [Imported::Stored]);
    let unseen = new();
    client
        .erase(ErasureTarget::Conversation(unseen.head.conversation.conversation_id))
        .await
        .expect("it is erased");
    assert!(is_refused(&imported(&client, vec![unseen.clone()], TimeDelta::zero()).await[0]), "it is erased");
    assert!(is_refused(&imported_long(&client, unseen, TimeDelta::zero()).await), "and stays so");
    let erased = client.erase(of_user(&client)).await.expect("all is erased");
    assert_eq!(erased.removed.conversations, 1, "what came before goes");
    let theirs = incoming(stranger.user_id, 2);
    let batch = vec![first.clone(), new(), theirs.clone(), new()];
    let answers = imported(&client, batch, hour).await;
    assert!([0, 1, 3].iter().all(|place| is_refused(&answers[*place])), "{answers:?}");
    assert_eq!(answers[2], Imported::Stored, "another user's");
    assert_eq!(imported(&client, vec![theirs], hour).await, [Imported::Present]);
    for one in [first, new()] {
        let answer = imported_long(&client, one, hour).await;
        assert!(is_refused(&answer), "{answer:?}");
    }
    assert_eq!(client.remaining(of_user(&client)).await, BTreeMap::new());
    assert_eq!(
        imported(&client, vec![new()], -hour).await,
        [Imported::Stored],
        "it began behind the erasure"
    );
    assert_eq!(imported_long(&client, new(), -hour).await, Imported::Stored);
    client.assert_sound().await;
}

/// What is imported while its user is erased is erased with the rest, or refused: nothing is there afterwards.
pub async fn what_is_imported_while_its_user_is_erased_is_not_there_afterwards(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    for round in 0..50 {
        let owner = client.somebody_else();
        owner.lived().await;
        let (importer, one) = (other.clone(), incoming(owner.user_id, 3));
        let (remover, target) = (owner.clone(), of_user(&owner));
        let (answer, erased) = race(
            async move {
                let age = TimeDelta::hours(1);
                if round % 4 < 2 {
                    imported(&importer, vec![one], age).await.remove(0)
                } else {
                    imported_long(&importer, one, age).await
                }
            },
            async move { remover.erase(target).await },
            round,
        )
        .await;
        assert!(answer == Imported::Stored || is_refused(&answer), "round {round}: {answer:?}");
        let stored = u64::from(answer == Imported::Stored);
        assert_eq!(erased.expect("it is erased").removed.conversations, 1 + stored, "round {round}");
        assert_eq!(owner.remaining(of_user(&owner)).await, BTreeMap::new(), "round {round}");
    }
    client.assert_sound().await;
}

/// A conversation whose turns still come when its user is erased is not stored behind that. A store may have the erasure
/// wait for it: then it goes with the rest.
pub async fn what_is_imported_turn_by_turn_while_its_user_is_erased_is_not_there_afterwards(
    harness: &dyn Harness,
) {
    let client = Client::of(harness).await;
    let importer = client.at_another_handle(harness).await;
    let IncomingConversation { head, turns } = incoming(client.user_id, 2);
    let (begun, is_begun) = oneshot::channel::<()>();
    let (ended, is_ended) = oneshot::channel::<()>();
    let (mut begun, mut is_ended) = (Some(begun), Some(is_ended));
    let turns = stream::iter(turns.into_iter().enumerate()).then(move |(place, turn)| {
        let begun = begun.take();
        let is_ended = if place == 1 { is_ended.take() } else { None };
        async move {
            if let Some(begun) = begun {
                let _ = begun.send(());
            }
            if let Some(is_ended) = is_ended {
                let _ = timeout(Duration::from_secs(2), is_ended).await;
            }
            Ok(turn)
        }
    });
    let import = tokio::spawn(async move {
        importer.store.transfers().import_long(head, turns.boxed(), TimeDelta::zero()).await
    });
    is_begun.await.expect("its turns are read");
    let erased = client.erase(of_user(&client)).await.expect("it is erased");
    let _ = ended.send(());
    let answer = import.await.expect("no panic").expect("an import is answered");
    assert!(answer == Imported::Stored || is_refused(&answer), "{answer:?}");
    assert_eq!(erased.removed.conversations, u64::from(answer == Imported::Stored));
    assert_eq!(client.remaining(of_user(&client)).await, BTreeMap::new());
    client.assert_sound().await;
}
