//! A hold that comes behind the rows of an erasure keeps what an archive has, whatever becomes of that archive.

use lcs_domain::archive::{ArchiveState, Forgotten, Restored, Tombstone, UserHash};
use lcs_domain::erasure::ArchivedOfTarget;
use lcs_domain::{
    Actor, ArchiveId, Conversation, ErasureTarget, HoldTarget, NewErasure, NewHold, PurgeReason,
    RepositoryError,
};

use super::Harness;
use super::archive::{
    archived, begin, close, content, found, heads, idle, is_refused, left, read, remove, restore,
};
use super::erasure::{of, of_user};
use super::fixture::{Client, assert_refused, name};

/// An erasure of this user whose rows are gone, and whose archives a hold keeps from it.
async fn stopped(client: &Client) -> (NewErasure, NewHold) {
    let asked = client.begin_erasure(&of(of_user(client))).await.expect("it is begun");
    while client.erase_some(&asked, 200).await.expect("rows go").has_more {}
    let hold = NewHold::on(HoldTarget::User(client.user_id), name("matter 7"), Actor::operator("ada"));
    client.store.holds().place(hold.clone()).await.expect("a hold is placed");
    let noted = client.store.erasures().note_archives(asked.clone(), Vec::new()).await;
    let refusal = RepositoryError::Held { hold_id: hold.hold_id, reason: hold.reason.to_string() };
    assert_refused(noted, &refusal, "it is held");
    (asked, hold)
}

/// The archive that is stale by now is written anew: `kept` is in the new one, which everything says. Released, the
/// erasure goes on and takes it out.
async fn written_anew(
    client: &Client,
    old: ArchiveId,
    kept: &Conversation,
    (asked, hold): (NewErasure, NewHold),
) {
    let archives = client.store.archives();
    let id = kept.conversation_id;
    assert_eq!(found(client, old).await.map(|archive| archive.state), Some(ArchiveState::Stale));
    assert_eq!(archives.archived_in(old).await.expect("a list"), [id], "it is to be kept");
    assert_eq!(archives.restorable_in(old).await.expect("a list"), [], "and does not come back");
    let new = begin(client).await;
    let state = archives.replace_archive(old, new, vec![id], content(1)).await.expect("an answer");
    assert_eq!(state, Some(ArchiveState::Complete));
    assert_eq!(found(client, old).await.map(|archive| archive.state), Some(ArchiveState::GivenUp));
    let tombstone = Tombstone { reason: PurgeReason::Erased, archive_id: Some(new) };
    assert_eq!(left(client, id).await, Some(tombstone));
    let of_target = client.store.erasures().archived_of(of_user(client)).await.expect("a list");
    assert_eq!(of_target, [ArchivedOfTarget { archive_id: new, conversations: 1 }]);
    let state = archives.give_up_archive(new).await.expect("an answer");
    assert_eq!(state, Some(ArchiveState::Stale), "it is not given up");
    archives.forget_archive(new).await.expect("an answer");
    assert!(found(client, new).await.is_some(), "nor forgotten");

    let released = client.store.holds().release(hold.hold_id, Actor::operator("ada")).await;
    assert!(released.expect("it is released").is_some());
    let again = client.begin_erasure(&of(of_user(client))).await.expect("it goes on");
    assert_eq!(again.erasure_id, asked.erasure_id);
    while client.erase_some(&again, 200).await.expect("rows go").has_more {}
    client.store.erasures().note_archives(again, Vec::new()).await.expect("nobody holds it");
    let user = Forgotten::User(UserHash::of(client.user_id));
    assert_eq!(archives.leave_archives(user).await.expect("an answer"), 1);
    assert_eq!(archives.archived_in(new).await.expect("a list"), []);
    assert_eq!(found(client, new).await.map(|archive| archive.state), Some(ArchiveState::GivenUp));
    assert_eq!(left(client, id).await.and_then(|left| left.archive_id), None);
    client.assert_sound().await;
}

/// Another user's erasure has the archive written anew.
pub async fn what_a_hold_keeps_stays_when_another_is_erased_from_its_archive(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.somebody_else();
    let (mine, theirs) = (idle(&client, harness).await, idle(&other, harness).await);
    let (archive_id, _) = archived(&client, &[&mine, &theirs]).await;
    let erasure = stopped(&client).await;
    let asked = other.begin_erasure(&of(ErasureTarget::User(other.user_id))).await.expect("it is begun");
    while other.erase_some(&asked, 200).await.expect("rows go").has_more {}
    let user = Forgotten::User(UserHash::of(other.user_id));
    assert_eq!(other.store.archives().leave_archives(user).await.expect("nobody holds it"), 1);
    written_anew(&client, archive_id, &mine, erasure).await;
}

/// What another user has in it comes back, and has it written anew.
pub async fn what_a_hold_keeps_stays_when_another_comes_back_from_its_archive(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.somebody_else();
    let (mine, theirs) = (idle(&client, harness).await, idle(&other, harness).await);
    let (archive_id, read) = archived(&client, &[&mine, &theirs]).await;
    let erasure = stopped(&client).await;
    let (of_mine, of_theirs): (Vec<_>, Vec<_>) =
        read.into_iter().partition(|one| one.head.conversation.user_id == client.user_id);
    assert_eq!(restore(&client, archive_id, of_theirs).await, [Restored::Stored]);
    let refused = restore(&client, archive_id, of_mine).await;
    assert!(is_refused(&refused[0], "deleted"), "what is erased stays away: {refused:?}");
    written_anew(&client, archive_id, &mine, erasure).await;
}

/// An archive is closed whose conversations an erasure has come to meanwhile.
pub async fn what_a_hold_keeps_stays_when_its_archive_is_closed(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let mine = idle(&client, harness).await;
    let (archive_id, read) = (begin(&client).await, read(&client, &[&mine]).await);
    assert_eq!(remove(&client, archive_id, heads(&read)).await, Some(1));
    stopped(&client).await;
    assert_eq!(close(&client, archive_id, 1).await, Some(ArchiveState::Complete));
    assert_eq!(
        client.store.archives().archived_in(archive_id).await.expect("a list"),
        [mine.conversation_id]
    );
}
