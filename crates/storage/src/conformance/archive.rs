//! Archives: a conversation is in one place, and the store says which.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use lcs_domain::archive::{
    Archive, ArchiveContent, ArchiveState, ArchivedHead, Forgotten, Restored, Tombstone, UserHash,
};
use lcs_domain::transfer::{ExportFilter, Exported, IncomingConversation, IncomingHead};
use lcs_domain::{
    Actor, ArchiveId, Conversation, ConversationId, HoldId, HoldTarget, NewHold, NewTurn, PageLimit,
};

use super::Harness;
use super::fixture::{Client, LONG_AGO, name, policy, saying, to_topic, with_state};

pub(super) const KEEP: Duration = Duration::from_hours(24);

/// A conversation with turns and a state, idle for long.
pub(super) async fn idle(client: &Client, harness: &dyn Harness) -> Conversation {
    let conversation = client.begin().await;
    client
        .append(with_state(saying(&conversation, "one"), &conversation, "[1,\"\\u0000\"]", 0))
        .await
        .expect("a turn");
    client.say(&conversation, "two").await;
    harness.age(conversation.conversation_id, LONG_AGO).await;
    client.get(&conversation).await.expect("it is there")
}

/// All that there is of these conversations, as an archive would have it.
pub(super) async fn read(client: &Client, conversations: &[&Conversation]) -> Vec<IncomingConversation> {
    let ids = conversations.iter().map(|one| one.conversation_id).collect();
    let filter = ExportFilter { conversation_ids: Some(ids), ..ExportFilter::default() };
    let parts: Vec<Exported> =
        client.store.transfers().export(filter).try_collect().await.expect("an export");
    let mut read: Vec<IncomingConversation> = Vec::new();
    for part in parts {
        match part {
            Exported::Conversation(conversation) => read.push(IncomingConversation {
                head: IncomingHead { conversation: *conversation, agent_state: None },
                turns: Vec::new(),
            }),
            Exported::AgentState(state) => read.last_mut().expect("a head").head.agent_state = Some(*state),
            Exported::Turn(turn) => {
                let (input, output) = (turn.input_messages.clone(), turn.output_message.clone());
                let (begun, ended) = (turn.started_at, turn.completed_at);
                let turn = NewTurn::new(turn.turn_id, input, output, begun, ended, turn.metadata.clone());
                read.last_mut().expect("a head").turns.push(turn.expect("a turn"));
            }
        }
    }
    read
}

pub(super) fn heads(conversations: &[IncomingConversation]) -> Vec<ArchivedHead> {
    conversations.iter().map(|incoming| ArchivedHead::of(&incoming.head.conversation)).collect()
}

pub(super) fn content(conversations: u64) -> ArchiveContent {
    ArchiveContent { conversations, turns: 2 * conversations, bytes: 100 }
}

pub(super) async fn begin(client: &Client) -> ArchiveId {
    let archive_id = ArchiveId::generate();
    let begun = client.store.archives().begin_archive(archive_id, Duration::ZERO).await;
    assert!(begun.expect("an archive is begun"));
    archive_id
}

pub(super) async fn remove(client: &Client, archive_id: ArchiveId, heads: Vec<ArchivedHead>) -> Option<u64> {
    client.store.archives().remove_archived(archive_id, policy(), heads).await.expect("a removal is answered")
}

pub(super) async fn close(
    client: &Client,
    archive_id: ArchiveId,
    conversations: u64,
) -> Option<ArchiveState> {
    let closed = client.store.archives().close_archive(archive_id, content(conversations)).await;
    closed.expect("an archive is closed")
}

/// Moves conversations to an archive of their own, and closes it.
pub(super) async fn archived(
    client: &Client,
    conversations: &[&Conversation],
) -> (ArchiveId, Vec<IncomingConversation>) {
    let archive_id = begin(client).await;
    let read = read(client, conversations).await;
    assert_eq!(read.len(), conversations.len());
    assert_eq!(remove(client, archive_id, heads(&read)).await, Some(read.len() as u64));
    assert_eq!(close(client, archive_id, read.len() as u64).await, Some(ArchiveState::Complete));
    (archive_id, read)
}

pub(super) async fn restore(
    client: &Client,
    archive_id: ArchiveId,
    read: Vec<IncomingConversation>,
) -> Vec<Restored> {
    client.store.archives().restore(archive_id, KEEP, read).await.expect("a restore is answered")
}

pub(super) async fn left(client: &Client, conversation_id: ConversationId) -> Option<Tombstone> {
    client.store.archives().tombstone(conversation_id).await.expect("a tombstone is looked up")
}

pub(super) async fn found(client: &Client, archive_id: ArchiveId) -> Option<Archive> {
    client.store.archives().find_archive(archive_id).await.expect("an archive is looked up")
}

pub(super) async fn due(client: &Client) -> Vec<ConversationId> {
    let mut due = client
        .store
        .archives()
        .due_for_archive(policy(), Vec::new(), 100)
        .await
        .expect("what is due is listed");
    due.sort_unstable();
    due
}

/// Places a legal hold on it.
async fn hold(client: &Client, conversation: &Conversation) {
    let placed = NewHold {
        hold_id: HoldId::generate(),
        target: HoldTarget::Conversation(conversation.conversation_id),
        reason: name("a matter"),
        placed_by: Actor::operator("ada"),
    };
    client.store.holds().place(placed).await.expect("a hold is placed");
}

pub(super) fn is_refused(restored: &Restored, why: &str) -> bool {
    matches!(restored, Restored::Refused(refusal) if refusal.to_string().contains(why))
}

/// What may expire is due: not what its user deleted, not what is held, not what is excepted, and no more than is asked
/// for.
pub async fn what_may_expire_is_due(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    assert_eq!(due(&client).await, []);
    let (one, two, held, deleted) = (
        idle(&client, harness).await,
        idle(&client, harness).await,
        idle(&client, harness).await,
        idle(&client, harness).await,
    );
    client.begin().await;
    hold(&client, &held).await;
    assert!(client.delete(&deleted).await);
    let mut expected = vec![one.conversation_id, two.conversation_id];
    expected.sort_unstable();
    assert_eq!(due(&client).await, expected);
    let some = async |policy, except, limit| {
        client.store.archives().due_for_archive(policy, except, limit).await.expect("what is due is listed")
    };
    assert_eq!(some(policy(), Vec::new(), 1).await.len(), 1);
    assert_eq!(some(policy().deleted_only(), Vec::new(), 9).await, []);
    // What could not be archived does not come first again.
    let many = (0..999).map(|_| ConversationId::generate()).chain([one.conversation_id]).collect();
    assert_eq!(some(policy(), many, 9).await, [two.conversation_id]);
    assert_eq!(some(policy(), expected, 9).await, []);
    // And a purge of what was deleted leaves the rest.
    let purged = client.purge(policy().deleted_only()).await;
    assert_eq!(
        purged.iter().map(|purged| purged.conversation_id).collect::<Vec<_>>(),
        [deleted.conversation_id]
    );
    assert_eq!(client.store.retention().count_due(policy().deleted_only()).await.expect("a count"), 0);
}

/// P7: what has woken up, was changed, is held or was deleted since it was read stays where it is.
pub async fn p7_what_has_changed_since_it_was_read_is_not_removed(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    for step in 0..5 {
        let (changed, same) = (idle(&client, harness).await, idle(&client, harness).await);
        let archive_id = begin(&client).await;
        let read = read(&client, &[&changed, &same]).await;
        match step {
            0 => drop(client.say(&changed, "good morning").await),
            1 => drop(client.update(&changed, to_topic("t")).await.expect("an update")),
            2 => assert!(client.delete(&changed).await),
            3 => hold(&client, &changed).await,
            _ => {
                // Idle for as long again, but changed in between.
                client.say(&changed, "good morning").await;
                harness.age(changed.conversation_id, LONG_AGO).await;
            }
        }
        assert_eq!(remove(&client, archive_id, heads(&read)).await, Some(1), "step {step}");
        assert_eq!(left(&client, changed.conversation_id).await, None, "step {step}");
        assert!(left(&client, same.conversation_id).await.is_some(), "step {step}");
        assert_eq!(close(&client, archive_id, 2).await, Some(ArchiveState::Stale), "step {step}");
    }
    client.assert_sound().await;
}

/// An archive that is closed removes nothing any more, whoever still works with it.
pub async fn nothing_is_removed_under_an_archive_that_is_closed(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    let (one, two) = (idle(&client, harness).await, idle(&client, harness).await);
    let read = read(&client, &[&one, &two]).await;
    let all = heads(&read);
    let unknown = ArchiveId::generate();
    assert_eq!(remove(&client, unknown, all.clone()).await, None);
    assert_eq!(close(&client, unknown, 2).await, None);
    let archive_id = begin(&client).await;
    assert!(
        other.store.archives().begin_archive(archive_id, Duration::ZERO).await.expect("it is begun still")
    );
    assert_eq!(remove(&other, archive_id, all[..1].to_vec()).await, Some(1));
    assert_eq!(remove(&client, archive_id, all[..1].to_vec()).await, Some(0), "removed once");
    assert_eq!(close(&client, archive_id, 2).await, Some(ArchiveState::Stale));
    assert_eq!(close(&other, archive_id, 1).await, Some(ArchiveState::Stale), "closed once");
    assert_eq!(remove(&other, archive_id, all.clone()).await, None);
    assert!(!client.store.archives().begin_archive(archive_id, Duration::ZERO).await.expect("an answer"));
    // One that is given up is closed too.
    let given_up = begin(&client).await;
    let gone = client.store.archives().give_up_archive(given_up).await.expect("an answer");
    assert_eq!(gone, Some(ArchiveState::GivenUp));
    assert_eq!(remove(&other, given_up, all.clone()).await, None);
    client.store.archives().forget_archive(given_up).await.expect("it is forgotten");
    assert_eq!((found(&client, given_up).await, remove(&other, given_up, all).await), (None, None));
    client.store.archives().forget_archive(archive_id).await.expect("an answer");
    assert!(found(&client, archive_id).await.is_some(), "one that is not given up stays");
}

/// While somebody is at an archive, another is told; and what is not finished is found.
pub async fn one_archiver_is_told_of_another(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let first = begin(&client).await;
    let archives = client.store.archives();
    let second = ArchiveId::generate();
    let hour = Duration::from_hours(1);
    assert!(!archives.begin_archive(second, hour).await.expect("an answer"));
    assert_eq!(found(&client, second).await, None);
    assert!(archives.begin_archive(second, Duration::ZERO).await.expect("an answer"));
    let mut expected = [first, second];
    expected.sort_unstable();
    let ids = |page: Vec<Archive>| page.into_iter().map(|archive| archive.archive_id).collect::<Vec<_>>();
    let unfinished = archives.unfinished_archives(None, PageLimit::MAX).await.expect("a list");
    assert_eq!(ids(unfinished), expected);
    let one = PageLimit::new(1).expect("a page size");
    assert_eq!(ids(archives.list_archives(None, one).await.expect("a list")), expected[..1]);
    assert_eq!(ids(archives.list_archives(Some(expected[0]), one).await.expect("a list")), expected[1..]);
    let conversation = idle(&client, harness).await;
    let (complete, _) = archived(&client, &[&conversation]).await;
    let unfinished = archives.unfinished_archives(None, PageLimit::MAX).await.expect("a list");
    assert_eq!(ids(unfinished), expected, "what is complete is finished");
    assert!(ids(archives.list_archives(None, PageLimit::MAX).await.expect("a list")).contains(&complete));
    assert!(archives.give_up_archive(first).await.expect("an answer").is_some());
    assert!(archives.give_up_archive(second).await.expect("an answer").is_some());
    assert!(archives.begin_archive(ArchiveId::generate(), hour).await.expect("an answer"), "nobody is at it");
}

/// An archive takes another's place with what that one still holds.
pub async fn an_archive_takes_anothers_place(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let (one, two, three) =
        (idle(&client, harness).await, idle(&client, harness).await, idle(&client, harness).await);
    let (old, read) = archived(&client, &[&one, &two, &three]).await;
    let of = |conversation: &Conversation| {
        let found =
            read.iter().find(|one| one.head.conversation.conversation_id == conversation.conversation_id);
        found.expect("it was read").clone()
    };
    assert_eq!(restore(&client, old, vec![of(&one)]).await, [Restored::Stored]);
    let kept = vec![two.conversation_id, three.conversation_id];
    let replace = async |old, new, ids, count| {
        client.store.archives().replace_archive(old, new, ids, content(count)).await.expect("an answer")
    };
    assert_eq!(replace(old, ArchiveId::generate(), kept.clone(), 2).await, None, "it was not begun");
    let new = begin(&client).await;
    assert_eq!(replace(old, new, kept.clone(), 2).await, Some(ArchiveState::Complete));
    assert_eq!(found(&client, old).await.map(|archive| archive.state), Some(ArchiveState::GivenUp));
    assert_eq!(
        replace(old, new, kept.clone(), 2).await,
        Some(ArchiveState::Complete),
        "once more is the same"
    );
    assert_eq!(restore(&client, old, vec![of(&two)]).await, [Restored::Elsewhere]);
    assert_eq!(restore(&client, new, vec![of(&two)]).await, [Restored::Stored]);
    // One that was begun before, and is late.
    let late = begin(&client).await;
    assert_eq!(replace(old, late, kept, 2).await, Some(ArchiveState::GivenUp));
    let holds = client.store.archives().archived_in(new).await.expect("a list");
    assert_eq!(holds, [three.conversation_id]);
}

/// A user's conversations leave the archives all at once, and an archive that is begun is closed with that.
pub async fn a_users_conversations_leave_the_archives(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let somebody = client.somebody_else();
    let (one, two, theirs) =
        (idle(&client, harness).await, idle(&client, harness).await, idle(&somebody, harness).await);
    let (mixed, _) = archived(&client, &[&one, &theirs]).await;
    let (own, _) = archived(&client, &[&two]).await;
    let begun = begin(&client).await;
    let user = Forgotten::User(UserHash::of(client.user_id));
    assert_eq!(client.store.archives().leave_archives(user).await.expect("an answer"), 2);
    let states = [found(&client, mixed).await, found(&client, own).await, found(&client, begun).await];
    let states = states.map(|archive| archive.map(|archive| archive.state));
    assert_eq!(states, [Some(ArchiveState::Stale), Some(ArchiveState::GivenUp), Some(ArchiveState::GivenUp)]);
    let archives = client.store.archives();
    assert_eq!(archives.archives_of_user(UserHash::of(client.user_id)).await.expect("a list"), []);
    assert_eq!(archives.archives_of_user(UserHash::of(somebody.user_id)).await.expect("a list"), [mixed]);
    assert_eq!(archives.archived_in(mixed).await.expect("a list"), [theirs.conversation_id]);
}

/// Conversations leave the archives however many are named at once, and each is counted once.
pub async fn many_conversations_leave_the_archives_at_once(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let (one, two) = (idle(&client, harness).await, idle(&client, harness).await);
    let (archive_id, _) = archived(&client, &[&one, &two]).await;
    // SQLite binds no more than 32,766 values.
    let others = (0..40_000).map(|_| ConversationId::generate());
    let ids = std::iter::once(one.conversation_id).chain(others).chain([one.conversation_id]).collect();
    let archives = client.store.archives();
    assert_eq!(archives.leave_archives(Forgotten::Conversations(ids)).await.expect("an answer"), 1);
    assert_eq!(archives.archived_in(archive_id).await.expect("a list"), [two.conversation_id]);
    assert_eq!(left(&client, one.conversation_id).await.and_then(|left| left.archive_id), None);
}
