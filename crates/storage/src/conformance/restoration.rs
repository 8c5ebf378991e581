//! What comes back from archives: once, as it was, and never what was deleted or erased.

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::stream::{self, StreamExt as _};
use lcs_domain::archive::{ArchiveState, Forgotten, Restored, Tombstone, UserHash};
use lcs_domain::conversation::OpenStatus;
use lcs_domain::transfer::IncomingConversation;
use lcs_domain::{
    AgentId, AuditAction, AuditQuery, Conversation, ConversationId, NewConversation, NewTurn, PageLimit,
    PurgeReason, RepositoryError,
};

use super::Harness;
use super::archive::{KEEP, archived, content, due, found, idle, is_refused, left, read, restore};
use super::fixture::{
    Client, EXISTS, LONG_AGO, append, assert_refused, beginning, name, policy, race, saying, to_status, turn,
    with_state,
};

/// Moved out and back, a conversation is the same in everything, goes on, and the log tells of both.
pub async fn what_is_archived_comes_back_as_it_was(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let (one, two) = (idle(&client, harness).await, idle(&client, harness).await);
    client.update(&two, to_status(OpenStatus::Archived)).await.expect("an update");
    harness.age(two.conversation_id, LONG_AGO).await;
    let (turns, state) = (client.turns(&one).await, client.state(&one).await);
    let (one, two) =
        (client.get(&one).await.expect("it is there"), client.get(&two).await.expect("it is there"));
    let (archive_id, read_out) = archived(&client, &[&one, &two]).await;
    assert_eq!(client.get(&one).await, None, "it is not stored any more");
    let expected = Tombstone { reason: PurgeReason::Expired, archive_id: Some(archive_id) };
    assert_eq!(left(&client, one.conversation_id).await, Some(expected));
    let archive = found(&client, archive_id).await.expect("it is known");
    assert_eq!((archive.state, archive.content), (ArchiveState::Complete, content(2)));
    assert_eq!(client.store.archives().archived_in(archive_id).await.expect("a list").len(), 2);
    let theirs = client.store.archives().archives_of_user(UserHash::of(client.user_id)).await;
    assert_eq!(theirs.expect("a list"), [archive_id]);

    let is_restored = async |conversation: &Conversation| {
        let restored = client.store.archives().is_restored(conversation.conversation_id).await;
        restored.expect("it is looked up")
    };
    assert!(!is_restored(&one).await);
    assert_eq!(restore(&client, archive_id, read_out.clone()).await, [Restored::Stored, Restored::Stored]);
    assert!(is_restored(&one).await && !is_restored(&client.begin().await).await);
    for conversation in [&one, &two] {
        assert_eq!(client.get(conversation).await.as_ref(), Some(conversation), "with its times too");
        assert_eq!(left(&client, conversation.conversation_id).await, None);
    }
    assert_eq!((client.turns(&one).await, client.state(&one).await), (turns, state));
    assert_eq!(read(&client, &[&one, &two]).await, read_out);
    assert_eq!(found(&client, archive_id).await.map(|archive| archive.state), Some(ArchiveState::Stale));
    assert_eq!(restore(&client, archive_id, read_out).await, [Restored::Present, Restored::Present]);
    let said = with_state(saying(&one, "on"), &one, "9", one.state_revision);
    assert_eq!(client.append(said).await.expect("it goes on").turn_number, Some(3));
    assert!(is_restored(&one).await, "also when it has gone on");
    client.assert_sound().await;

    let about = |action| AuditQuery {
        conversation_id: Some(one.conversation_id),
        action: Some(action),
        limit: PageLimit::MAX,
        ..AuditQuery::default()
    };
    for action in [AuditAction::Archive, AuditAction::Restore] {
        let records = client.store.audit().records(about(action)).await.expect("the log is read");
        assert_eq!(records.len(), 1, "{action}");
        let detail: serde_json::Value = serde_json::from_str(records[0].detail.as_json()).expect("an object");
        assert_eq!((&detail["conversations"], &detail["turns"]), (&2.into(), &4.into()), "{action}");
        assert_eq!(detail["archive_id"], archive_id.to_string());
    }
}

/// What has come back is left alone for a while, though its times are the old ones; a delete goes before that.
pub async fn what_was_restored_is_not_due_again_at_once(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let (kept, too, deleted) =
        (idle(&client, harness).await, idle(&client, harness).await, idle(&client, harness).await);
    let (archive_id, read) = archived(&client, &[&kept, &too, &deleted]).await;
    restore(&client, archive_id, read).await;
    assert_eq!((due(&client).await, client.purge(policy()).await), (vec![], vec![]));
    let is_restored = async || {
        let restored = client.store.archives().is_restored(deleted.conversation_id).await;
        restored.expect("it is looked up")
    };
    let ids = vec![kept.conversation_id, too.conversation_id];
    let keeping = client.store.retention().keeping(client.user_id, ids.clone()).await.expect("it is told");
    let mut told: Vec<_> = keeping.restored.iter().map(|(id, _)| *id).collect();
    told.sort_unstable();
    let mut expected = ids.clone();
    expected.sort_unstable();
    assert_eq!(told, expected);
    assert!(keeping.restored.iter().all(|(_, until)| *until > kept.updated_at + KEEP), "{keeping:?}");
    let theirs = client.store.retention().keeping(client.somebody_else().user_id, ids).await;
    assert_eq!(theirs.expect("it is told").restored, [], "P9: another user learns nothing");
    assert!(is_restored().await);
    assert!(client.delete(&deleted).await);
    assert!(!is_restored().await, "what is deleted is not said to be back, before it is purged and after");
    assert_eq!(client.purge(policy()).await.len(), 1);
    assert!(!is_restored().await);
    // Kept for no time, it is due again.
    let again = idle(&client, harness).await;
    let (archive_id, read) = archived(&client, &[&again]).await;
    let restored = client.store.archives().restore(archive_id, Duration::ZERO, read).await;
    assert_eq!(restored.expect("a restore"), [Restored::Stored]);
    assert_eq!(due(&client).await, [again.conversation_id]);
}

/// P6: what is archived is refused to all but a restore; what was deleted, erased or never archived, to that too.
pub async fn p6_only_what_is_archived_comes_back(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let (kept, erased, deleted, expired) = (
        idle(&client, harness).await,
        idle(&client, harness).await,
        idle(&client, harness).await,
        idle(&client, harness).await,
    );
    let gone = read(&client, &[&deleted, &expired]).await;
    assert!(client.delete(&deleted).await);
    assert_eq!(client.purge(policy().deleted_only()).await.len(), 1);
    let (archive_id, read_out) = archived(&client, &[&kept, &erased]).await;
    assert_eq!(client.purge(policy()).await.len(), 1, "expired without an archive");

    let again = NewConversation { conversation_id: kept.conversation_id, ..beginning() };
    assert_refused(client.create(again).await, &EXISTS, "a create with the id of what is archived");
    assert!(client.append(saying(&kept, "late")).await.is_err());
    for imported in
        client.store.transfers().import(read_out.clone(), TimeDelta::zero()).await.expect("an import")
    {
        assert!(is_refused(&Restored::from(imported), "was deleted or purged here"));
    }
    for (incoming, restored) in gone.iter().zip(restore(&client, archive_id, gone.clone()).await) {
        let was_deleted = incoming.head.conversation.conversation_id == deleted.conversation_id;
        let why = if was_deleted { "deleted" } else { "does not know it as archived" };
        assert!(is_refused(&restored, why), "{restored:?}");
    }
    let forgotten = Forgotten::Conversations(vec![erased.conversation_id, ConversationId::generate()]);
    assert_eq!(client.store.archives().leave_archives(forgotten.clone()).await.expect("an answer"), 1);
    assert_eq!(client.store.archives().leave_archives(forgotten).await.expect("an answer"), 0);
    let tombstone = left(&client, erased.conversation_id).await;
    assert_eq!(tombstone, Some(Tombstone { reason: PurgeReason::Erased, archive_id: None }));
    for (incoming, restored) in read_out.iter().zip(restore(&client, archive_id, read_out.clone()).await) {
        if incoming.head.conversation.conversation_id == erased.conversation_id {
            assert!(is_refused(&restored, "deleted"), "{restored:?}");
        } else {
            assert_eq!(restored, Restored::Stored);
        }
    }
    // What never was here is none of this archive's.
    let mut strange = read_out[0].clone();
    strange.head.conversation.conversation_id = ConversationId::generate();
    strange.head.agent_state = None;
    strange.head.conversation.state_revision = 0;
    assert!(is_refused(
        &restore(&client, archive_id, vec![strange]).await[0],
        "does not know it as archived"
    ));
    client.assert_sound().await;
}

/// What cannot be stored again leaves its tombstone where it is, and the others come back.
pub async fn a_restore_is_whole_or_not_at_all(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let external = NewConversation { external_id: Some(name("conv_1")), ..beginning() };
    let taken = client.create(external.clone()).await.expect("a conversation");
    harness.age(taken.conversation_id, LONG_AGO).await;
    let (free, used) = (idle(&client, harness).await, idle(&client, harness).await);
    let taken = client.get(&taken).await.expect("it is there");
    let (archive_id, read) = archived(&client, &[&taken, &free, &used]).await;
    // Its external id, and the id of a turn of the other, are somebody else's by now.
    let anew = NewConversation {
        conversation_id: ConversationId::generate(),
        agent_id: AgentId::generate(),
        ..external
    };
    let anew = client.create(anew).await.expect("the external id is free");
    let turn_id = read
        .iter()
        .find(|incoming| incoming.head.conversation.conversation_id == used.conversation_id)
        .map(|incoming| incoming.turns[0].turn_id());
    client.append(append(&anew, turn(turn_id.expect("a turn"), "another"))).await.expect("its id is free");
    for (incoming, restored) in read.iter().zip(restore(&client, archive_id, read.clone()).await) {
        let id = incoming.head.conversation.conversation_id;
        if id == free.conversation_id {
            assert_eq!(restored, Restored::Stored);
        } else {
            assert!(is_refused(&restored, "another conversation's"), "{restored:?}");
            assert!(left(&client, id).await.is_some_and(|left| left.archive_id == Some(archive_id)));
        }
    }
    client.assert_sound().await;
}

/// A conversation whose turns come one by one is restored as any other, and nothing of it where they break off.
pub async fn a_long_conversation_comes_back_turn_by_turn(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = idle(&client, harness).await;
    let (archive_id, read_out) = archived(&client, &[&conversation]).await;
    let IncomingConversation { head, turns } = read_out[0].clone();
    let long = async |turns: Vec<Result<NewTurn, RepositoryError>>| {
        let turns = stream::iter(turns).boxed();
        let restored = client.store.archives().restore_long(archive_id, KEEP, head.clone(), turns).await;
        restored.expect("a restore is answered")
    };
    let one = turns[0].clone();
    assert!(is_refused(&long(vec![Ok(one.clone())]).await, "it says 2, and 1 came"));
    let broken = RepositoryError::Invalid { pointer: String::new(), reason: "cut off".into() };
    assert!(is_refused(&long(vec![Ok(one), Err(broken)]).await, "cut off"));
    assert!(left(&client, conversation.conversation_id).await.is_some(), "its tombstone is there");
    assert_eq!(long(turns.clone().into_iter().map(Ok).collect()).await, Restored::Stored);
    assert_eq!(read(&client, &[&conversation]).await, read_out);
    assert_eq!(long(turns.into_iter().map(Ok).collect()).await, Restored::Present);
    assert_eq!(due(&client).await, []);
}

/// Of a restore and an erasure at once, one is first: what was erased is not there afterwards.
pub async fn a_restore_racing_an_erasure_does_not_undo_it(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    for round in 0..6 {
        let conversation = idle(&client, harness).await;
        let (archive_id, read) = archived(&client, &[&conversation]).await;
        let (restoring, erasing, id) = (client.clone(), other.clone(), conversation.conversation_id);
        let (restored, forgotten) = race(
            async move { restore(&restoring, archive_id, read).await },
            async move {
                let what = Forgotten::Conversations(vec![id]);
                erasing.store.archives().leave_archives(what).await.expect("an answer")
            },
            round,
        )
        .await;
        let tombstone = left(&client, id).await;
        let is_back = restored[0] == Restored::Stored && tombstone.is_none();
        let is_gone = is_refused(&restored[0], "deleted") && client.get(&conversation).await.is_none();
        let first = if forgotten == 0 { is_back } else { is_gone };
        assert!(first, "{forgotten} forgotten: {restored:?} {tombstone:?}");
    }
}

/// Two who restore the same at once bring it back once.
pub async fn p1_restored_twice_at_once_it_is_stored_once(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    for round in 0..6 {
        let (one, two) = (idle(&client, harness).await, idle(&client, harness).await);
        let (archive_id, read) = archived(&client, &[&one, &two]).await;
        let (here, there, same) = (client.clone(), other.clone(), read.clone());
        let (first, second) = race(
            async move { restore(&here, archive_id, read).await },
            async move { restore(&there, archive_id, same).await },
            round,
        )
        .await;
        for pair in first.iter().zip(&second) {
            let pair = [pair.0, pair.1];
            assert!(pair.contains(&&Restored::Stored) && pair.contains(&&Restored::Present), "{pair:?}");
        }
        assert_eq!(client.turns(&one).await.len(), 2);
    }
    client.assert_sound().await;
}
