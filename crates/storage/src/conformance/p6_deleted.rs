//! P6: deleted stays deleted, before and after the purge.

use lcs_domain::conversation::OpenStatus;
use lcs_domain::{
    AgentId, AppendTurn, Conversation, ConversationId, ConversationUpdate, NewConversation, PageLimit,
    TurnRange,
};

use super::Harness;
use super::fixture::{
    Client, EXISTS, LONG_AGO, NO_CONVERSATION, assert_refused, at_once, beginning, is, name, policy, race,
    saving, saying, to_status, to_topic, with_state,
};

/// A conversation with a turn and a state, the command that made it, and the append of its turn.
async fn lived(client: &Client) -> (NewConversation, Conversation, AppendTurn) {
    let new = beginning();
    let conversation = client.create(new.clone()).await.expect("a new conversation is created");
    let said = with_state(saying(&conversation, "said"), &conversation, "1", 0);
    client.append(said.clone()).await.expect("a turn is appended");
    (new, conversation, said)
}

/// Tries everything on a conversation that must be gone.
async fn assert_gone(client: &Client, new: &NewConversation, gone: &Conversation, said: &AppendTurn) {
    let late = saying(gone, "late");
    let refused = [
        ("a late append", late.clone()),
        ("a late append with a state", with_state(late.clone(), gone, "2", 1)),
        ("a late append to a fresh start", with_state(late, gone, "2", 0)),
        ("a replay", said.clone()),
    ];
    for (what, append) in refused {
        assert_refused(client.append(append).await, &NO_CONVERSATION, what);
    }
    for revision in [0, 1, 2] {
        let save = saving(gone, "2", revision);
        assert_refused(client.save(save).await, &NO_CONVERSATION, "a late save");
    }
    for update in [to_topic("t"), to_status(OpenStatus::Active), ConversationUpdate::default()] {
        assert_refused(client.update(gone, update).await, &NO_CONVERSATION, "a late update");
    }
    assert_refused(client.create(new.clone()).await, &EXISTS, "the same create");
    let fresh = NewConversation { agent_id: AgentId::generate(), external_id: None, ..new.clone() };
    assert_refused(client.create(fresh.clone()).await, &EXISTS, "a create with the same id");
    let somebody = client.somebody_else();
    assert_refused(somebody.create(fresh).await, &EXISTS, "a create with the same id by another user");

    assert!(!client.delete(gone).await, "it is deleted once");
    assert_eq!((client.get(gone).await, client.head(gone).await), (None, None), "it is not read");
    for range in [TurnRange::After(0), TurnRange::Before(9), TurnRange::Newest] {
        assert_eq!(client.page(gone, range, 1).await, None, "its turns are not read");
    }
    assert_eq!(client.turn(gone, said.turn.turn_id()).await, None, "its turn is not found");
    assert_eq!(client.state(gone).await, None, "its state is not read");
    let states = client.store.agent_states();
    assert_eq!(states.get(client.user_id, gone.agent_id).await.expect("a look-up"), None);
    assert!(!states.delete(client.user_id, gone.agent_id).await.expect("a delete"), "its state is gone");
    let listed = client.list(lcs_domain::ListConversations::default()).await;
    assert!(listed.iter().all(|found| found.conversation_id != gone.conversation_id), "it is not listed");
}

/// Nothing brings a deleted conversation back, and nothing of it is read: from any handle.
pub async fn deleted_stays_deleted(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    for archived in [false, true] {
        let (new, conversation, said) = lived(&client).await;
        if archived {
            client.archive(&conversation).await;
        }
        assert!(client.delete(&conversation).await, "there is one to delete");
        assert_gone(&client, &new, &conversation, &said).await;
        assert_gone(&other, &new, &conversation, &said).await;
    }
}

/// Nothing brings a purged conversation back, whether it had been deleted or had expired.
pub async fn purged_stays_purged(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    for deleted in [true, false] {
        let (new, conversation, said) = lived(&client).await;
        if deleted {
            client.delete(&conversation).await;
        } else {
            harness.age(conversation.conversation_id, LONG_AGO).await;
        }
        assert_eq!(client.purge(policy()).await.len(), 1, "it may go");
        assert_gone(&client, &new, &conversation, &said).await;
        assert_gone(&other, &new, &conversation, &said).await;
        assert_eq!(client.purge(policy()).await, [], "it is purged once");
        client.assert_sound().await;
    }
}

/// What was deleted or has expired is told from what never was, to its own user alone.
pub async fn what_was_deleted_is_known(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let stranger = Client::of(harness).await;
    for deleted in [true, false] {
        let (_, conversation, _) = lived(&client).await;
        let id = conversation.conversation_id;
        let was_deleted = async |user_id, id| {
            let answer = client.store.conversations().was_deleted(user_id, id).await;
            answer.expect("it is known whether it was deleted")
        };
        assert!(!was_deleted(client.user_id, id).await, "it is there");
        if deleted {
            client.delete(&conversation).await;
            assert!(was_deleted(client.user_id, id).await, "it was deleted just now");
        } else {
            harness.age(id, LONG_AGO).await;
        }
        assert_eq!(client.purge(policy()).await.len(), 1, "it may go");
        assert!(was_deleted(client.user_id, id).await, "it was purged");
        assert!(!was_deleted(stranger.user_id, id).await, "P9: nobody else learns that it was");
        assert!(!was_deleted(client.user_id, ConversationId::generate()).await, "it never was");
    }
}

/// A purged conversation leaves its agent's id and its external id to the next one.
pub async fn an_external_id_is_free_after_the_purge(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let named = || NewConversation { external_id: Some(name("conv_0123")), ..beginning() };
    let first = client.create(named()).await.expect("the first of this external id");
    client.delete(&first).await;
    client.purge(policy()).await;
    let next = NewConversation { agent_id: first.agent_id, ..named() };
    client.create(next).await.expect("the next of this agent and this external id");
}

/// Of many deletes at once, one finds something to delete.
pub async fn deletes_at_once_delete_once(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    for _ in 0..10 {
        let conversation = client.begin().await;
        let deleted = at_once((0..4).map(|i| {
            let client = if i % 2 == 0 { client.clone() } else { other.clone() };
            let conversation = conversation.clone();
            async move { client.delete(&conversation).await }
        }))
        .await;
        assert_eq!(deleted.iter().filter(|deleted| **deleted).count(), 1, "{deleted:?}");
    }
}

/// What a racer came to: done, or too late.
#[derive(Debug, PartialEq, Eq)]
enum Raced {
    Done,
    TooLate,
}

/// One of the writers that race with a delete or a purge, by turns.
async fn write(client: &Client, conversation: &Conversation, new: NewConversation, round: usize) -> Raced {
    let result = match round % 4 {
        0 => client.append(saying(conversation, "race")).await.map(drop),
        1 => client.append(with_state(saying(conversation, "race"), conversation, "2", 1)).await.map(drop),
        2 => client.save(saving(conversation, "2", 1)).await.map(drop),
        _ if round % 8 == 3 => client.update(conversation, to_topic("race")).await.map(drop),
        _ => return create_again(client, new).await,
    };
    match result {
        Ok(()) => Raced::Done,
        Err(error) if is(&error, &NO_CONVERSATION) => Raced::TooLate,
        Err(error) => panic!("expected the write to be done or too late, got {error:?}"),
    }
}

async fn create_again(client: &Client, new: NewConversation) -> Raced {
    match client.create(new).await {
        Ok(_) => Raced::Done,
        Err(error) if is(&error, &EXISTS) => Raced::TooLate,
        Err(error) => panic!("expected the conversation or a refusal, got {error:?}"),
    }
}

/// A write racing a delete is done before it or refused; either way the conversation is gone, whole.
pub async fn a_write_racing_a_delete_never_brings_back(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    for round in 0..64 {
        let (new, conversation, said) = lived(&client).await;
        let (writer, remover) = (client.clone(), other.clone());
        let (written_to, deleted, again) = (conversation.clone(), conversation.clone(), new.clone());
        let write = async move { write(&writer, &written_to, again, round).await };
        let delete = async move { remover.delete(&deleted).await };
        let (_, deleted) = race(write, delete, round / 8).await;
        assert!(deleted, "nothing stops a delete");
        if round % 8 == 0 {
            assert_gone(&client, &new, &conversation, &said).await;
        }
        assert_eq!(client.get(&conversation).await, None, "round {round}: it is gone");
    }
    client.assert_sound().await;
    assert_eq!(client.purge(policy()).await.len(), 64, "each is there to be purged, once");
    client.assert_sound().await;
}

/// A write racing a purge wakes the conversation up, which is kept whole; or it is refused, and the
/// conversation is gone whole. There is nothing between.
pub async fn a_write_racing_a_purge_wakes_up_or_is_refused(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    for round in 0..64 {
        let (new, conversation, said) = lived(&client).await;
        harness.age(conversation.conversation_id, LONG_AGO).await;
        let (writer, cleaner) = (client.clone(), other.clone());
        let (written_to, again) = (conversation.clone(), new.clone());
        let write = async move { write(&writer, &written_to, again, round).await };
        let purge = async move {
            let report = cleaner.store.retention().purge_batch(policy(), PageLimit::MAX).await;
            report.expect("a batch is purged").purged
        };
        let (written, purged) = race(write, purge, round / 8).await;
        let mine = purged.iter().any(|purged| purged.conversation_id == conversation.conversation_id);
        let what = format!("round {round}, written {written:?}, purged {mine}");
        if mine {
            // Sending the same create again is no activity: it may be answered and the conversation purged.
            assert!(written == Raced::TooLate || round % 8 == 7, "a woken conversation is kept: {what}");
            assert_gone(&client, &new, &conversation, &said).await;
            continue;
        }
        // Kept: woken up in time, or passed over while it was locked; then the write was done.
        assert_eq!(written, Raced::Done, "what is kept can be written: {what}");
        let now = client.get(&conversation).await.expect("what is kept is there");
        let turns = client.turns(&conversation).await;
        let state = client.state(&conversation).await.expect("its state is there");
        assert_eq!(turns.len(), now.turn_count as usize, "what is kept is whole: {what}");
        assert_eq!(state.revision, now.state_revision, "what is kept is whole: {what}");
        client.delete(&conversation).await;
    }
    client.assert_sound().await;
}
