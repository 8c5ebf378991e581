//! Erasure: all that is of a user or a conversation goes, nothing else does, and nothing comes back.

use std::collections::BTreeMap;

use chrono::DateTime;
use lcs_domain::audit::AuditHash;
use lcs_domain::erasure::{
    ContentDigest, ErasedArchive, ErasedConversation, ErasedRows, ErasureStep, LostArchive,
    OwnedConversation, user_hash,
};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, AppendTurn, ArchiveId, AuditAction, AuditDetail, AuditQuery, BeginRequest, Conversation, Entity,
    Erasure, ErasureTarget, Hold, HoldTarget, Keep, NewErasure, NewHold, NewRetentionOverride, PageLimit,
    RepositoryError,
};

use super::Harness;
use super::fixture::{
    Client, EXISTS, LONG_AGO, NO_CONVERSATION, assert_refused, beginning, is, name, policy, race, saying,
    with_state,
};
use super::request::asking;

const CERTIFICATE: &str = "{\"of\":\"a test\"}";

pub(super) fn of(target: ErasureTarget) -> NewErasure {
    NewErasure::of(target, Actor::operator("ada"))
}

pub(super) fn of_user(client: &Client) -> ErasureTarget {
    ErasureTarget::User(client.user_id)
}

const fn of_conversation(conversation: &Conversation) -> ErasureTarget {
    ErasureTarget::Conversation(conversation.conversation_id)
}

fn owned(conversation: &Conversation) -> OwnedConversation {
    OwnedConversation { user_id: conversation.user_id, conversation_id: conversation.conversation_id }
}

impl Client {
    pub(super) async fn begin_erasure(&self, new: &NewErasure) -> RepositoryResult<NewErasure> {
        let begun = self.store.erasures().begin_erasure(new.clone()).await?;
        Ok(NewErasure { erasure_id: begun.erasure_id, ..new.clone() })
    }

    pub(super) async fn erase_some(&self, asked: &NewErasure, limit: u32) -> RepositoryResult<ErasureStep> {
        let limit = PageLimit::new(limit).expect("a limit");
        self.store.erasures().erase_some(asked.clone(), limit).await
    }

    /// Erases to the end, and gives what came of it.
    pub(super) async fn erase(&self, target: ErasureTarget) -> RepositoryResult<Erasure> {
        let asked = self.begin_erasure(&of(target)).await?;
        while self.erase_some(&asked, 200).await?.has_more {}
        self.end(&asked).await
    }

    pub(super) async fn end(&self, asked: &NewErasure) -> RepositoryResult<Erasure> {
        let detail = AuditDetail::default().word("step", "certified");
        self.store.erasures().end_erasure(asked.clone(), CERTIFICATE.to_owned(), detail).await
    }

    /// The tables in which there is something of it, each with how many rows.
    pub(super) async fn remaining(&self, target: ErasureTarget) -> BTreeMap<String, u64> {
        let found = self.store.erasures().remaining(target).await.expect("rows are counted").into_iter();
        found.filter(|table| table.rows > 0).map(|table| (table.table, table.rows)).collect()
    }

    async fn erased(&self, conversations: &[&Conversation]) -> Vec<ErasedConversation> {
        let asked = conversations.iter().map(|conversation| owned(conversation)).collect();
        self.store.erasures().erased(asked).await.expect("it is known what is erased").conversations
    }

    /// Whether each is known never to come back.
    async fn are_erased(&self, conversations: &[&Conversation]) -> Vec<bool> {
        let erased = self.erased(conversations).await;
        let is_erased = |conversation: &&Conversation| {
            erased.iter().any(|erased| erased.owned == owned(conversation) && erased.is_erased)
        };
        conversations.iter().map(is_erased).collect()
    }

    async fn latest(&self) -> u64 {
        self.store.erasures().latest_erasure().await.expect("a number")
    }

    /// A conversation with two turns and a state; and the append of the first.
    pub(super) async fn lived(&self) -> (Conversation, AppendTurn) {
        let conversation = self.begin().await;
        let said = with_state(saying(&conversation, "said"), &conversation, "1", 0);
        self.append(said.clone()).await.expect("a turn is appended");
        self.say(&conversation, "said more").await;
        (conversation, said)
    }

    async fn hold(&self, target: HoldTarget) -> Hold {
        let hold = NewHold::on(target, name("matter 7"), Actor::operator("ada"));
        self.store.holds().place(hold).await.expect("a hold is placed")
    }

    async fn release(&self, hold: &Hold) {
        let released = self.store.holds().release(hold.hold_id, Actor::operator("ada")).await;
        assert!(released.expect("a hold is released").is_some());
    }
}

fn held(hold: &Hold) -> RepositoryError {
    hold.refusal()
}

/// A conversation that is purged because it has been idle too long.
async fn expired(client: &Client, harness: &dyn Harness) -> Conversation {
    let expired = client.lived().await.0;
    harness.age(expired.conversation_id, LONG_AGO).await;
    assert_eq!(client.purge(policy()).await.len(), 1);
    expired
}

/// Something in every place where a user can have anything: two conversations with two turns and a state each, a
/// deleted one, one that has expired, requests to a conversation and to none, a released hold, a retention of their own.
async fn everything(client: &Client, expired: Conversation) -> Vec<Conversation> {
    let (one, two, deleted) = (client.lived().await.0, client.lived().await.0, client.begin().await);
    assert!(client.delete(&deleted).await);
    client.ask(&asking(Some("a key"))).await;
    client.ask(&BeginRequest { conversation_id: one.conversation_id, ..asking(None) }).await;
    let hold = client.hold(HoldTarget::Conversation(two.conversation_id)).await;
    client.release(&hold).await;
    let own =
        NewRetentionOverride { user_id: client.user_id, keep: Keep::Forever, set_by: Actor::operator("ada") };
    client.store.retention_overrides().set_override(own).await.expect("a retention is set");
    vec![one, two, deleted, expired]
}

/// All that is of a user goes, from every table; others keep what they have.
pub async fn all_that_is_a_users_goes_and_nothing_of_others(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.somebody_else();
    let (their_expired, my_expired) = (expired(&other, harness).await, expired(&client, harness).await);
    let theirs = everything(&other, their_expired).await;
    let mine = everything(&client, my_expired).await;
    let before = client.remaining(of_user(&client)).await;
    let rows = [
        ("agent_states", 2),
        ("conversation_turns", 4),
        ("conversations", 3),
        ("holds", 1),
        ("requests", 2),
        ("retention_overrides", 1),
    ];
    assert_eq!(before, rows.map(|(table, rows)| (table.to_owned(), rows)).into());
    let erasure = client.erase(of_user(&client)).await.expect("it is erased");
    let removed = ErasedRows {
        conversations: 3,
        turns: 4,
        agent_states: 2,
        requests: 2,
        holds: 1,
        retention_overrides: 1,
        tombstones: 1,
    };
    assert_eq!(erasure.removed, removed);
    assert_eq!(client.remaining(of_user(&client)).await, BTreeMap::new());
    for conversation in &mine {
        assert_eq!(client.remaining(of_conversation(conversation)).await, BTreeMap::new());
        assert!(client.get(conversation).await.is_none());
    }
    assert_eq!(client.are_erased(&mine.iter().collect::<Vec<_>>()).await, [true; 4], "the expired one too");
    assert_eq!(other.remaining(of_user(&other)).await, before);
    assert_eq!(other.are_erased(&theirs.iter().collect::<Vec<_>>()).await, [false; 4]);
    assert_eq!(other.turns(&theirs[0]).await.len(), 2);
    client.assert_sound().await;
}

/// Of one conversation everything goes, and its user's others stay.
pub async fn a_conversation_goes_alone(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let expired = expired(&client, harness).await;
    let mine = everything(&client, expired).await;
    for (place, conversation) in mine.iter().enumerate() {
        let erasure = client.erase(of_conversation(conversation)).await.expect("it is erased");
        assert_eq!(erasure.user_hash, Some(user_hash(client.user_id)), "whose it was is known, as a hash");
        assert_eq!(client.remaining(of_conversation(conversation)).await, BTreeMap::new());
        let erased: Vec<bool> = (0..4).map(|other| other <= place).collect();
        assert_eq!(client.are_erased(&mine.iter().collect::<Vec<_>>()).await, erased);
    }
    let left = client.remaining(of_user(&client)).await;
    assert_eq!(left, [("requests", 1), ("retention_overrides", 1)].map(|(t, n)| (t.to_owned(), n)).into());
    let absent = ErasureTarget::Conversation(lcs_domain::ConversationId::generate());
    let erasure = client.erase(absent).await.expect("that it is not there is no error");
    assert_eq!((erasure.removed, erasure.user_hash), (ErasedRows::default(), None));
    client.assert_sound().await;
}

/// P6: nothing brings back what is erased; the user begins anew with other conversations.
pub async fn p6_nothing_brings_back_what_is_erased(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    let new = beginning();
    let conversation = client.create(new.clone()).await.expect("a conversation");
    let said = saying(&conversation, "said");
    client.append(said.clone()).await.expect("a turn is appended");
    client.erase(of_user(&client)).await.expect("it is erased");
    for client in [&client, &other] {
        assert_refused(client.create(new.clone()).await, &EXISTS, "the same create");
        assert_refused(client.append(said.clone()).await, &NO_CONVERSATION, "a replay");
        let late = saying(&conversation, "late");
        assert_refused(client.append(late).await, &NO_CONVERSATION, "a late append");
        assert!(!client.delete(&conversation).await && client.get(&conversation).await.is_none());
    }
    let anew = client.begin().await;
    client.say(&anew, "a new beginning").await;
    let erased = client.erased(&[&conversation, &anew]).await;
    let told: Vec<_> = erased.iter().map(|erased| (erased.owned, erased.is_erased)).collect();
    assert_eq!(told, [(owned(&conversation), true), (owned(&anew), false)]);
    assert!(erased.iter().all(|erased| erased.user_erased_at.is_some()));
    assert_eq!(client.turns(&anew).await.len(), 1);
}

/// What a hold is on is not erased, nor anything of a target that it keeps a part of; the refusal is the hold's.
pub async fn what_is_held_is_not_erased(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let ((kept, _), (other, _)) = (client.lived().await, client.lived().await);
    for on in [HoldTarget::Conversation(kept.conversation_id), HoldTarget::User(client.user_id)] {
        let hold = client.hold(on).await;
        for target in [of_user(&client), of_conversation(&kept)] {
            assert_refused(client.erase(target).await, &held(&hold), "it is held");
        }
        assert_eq!(client.turns(&kept).await.len(), 2);
        client.release(&hold).await;
    }
    let hold = client.hold(HoldTarget::Conversation(kept.conversation_id)).await;
    client.erase(of_conversation(&other)).await.expect("the hold is on another one");
    assert!(client.get(&other).await.is_none() && client.get(&kept).await.is_some());
    client.release(&hold).await;
    client.erase(of_user(&client)).await.expect("it is released");
    assert_eq!(client.remaining(of_user(&client)).await, BTreeMap::new());
}

/// A hold that is placed in the middle keeps what there is still; released, the same erasure goes on.
pub async fn a_hold_stops_an_erasure_in_the_middle(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let mut conversations = Vec::new();
    for _ in 0..3 {
        conversations.push(client.lived().await.0);
    }
    conversations.sort_by_key(|conversation| conversation.conversation_id);
    let asked = client.begin_erasure(&of(of_user(&client))).await.expect("it is begun");
    let step = client.erase_some(&asked, 1).await.expect("one is erased");
    assert!(step.has_more && step.erasure.removed.conversations == 1, "{step:?}");
    let hold = client.hold(HoldTarget::User(client.user_id)).await;
    assert_refused(client.erase_some(&asked, 1).await, &held(&hold), "it is held now");
    assert_eq!(client.list(lcs_domain::ListConversations::default()).await.len(), 2);
    // Nor is anything of it out of a journal.
    let erased = async || {
        let erased = client.erased(&[&conversations[0], &conversations[1]]).await;
        erased.iter().map(|erased| (erased.is_erased, erased.user_erased_at.is_some())).collect::<Vec<_>>()
    };
    assert_eq!(erased().await, [(true, false)], "what is gone is gone");
    client.release(&hold).await;
    assert_eq!(erased().await, [(true, true), (false, true)]);
    let again = client.begin_erasure(&of(of_user(&client))).await.expect("it goes on");
    assert_eq!(again.erasure_id, asked.erasure_id);
    while client.erase_some(&again, 1).await.expect("more is erased").has_more {}
    let erasure = client.end(&again).await.expect("it ends");
    // The hold was released, and goes with the rest.
    assert_eq!((erasure.removed.conversations, erasure.removed.turns, erasure.removed.holds), (3, 6, 1));
    client.hold(HoldTarget::User(client.user_id)).await;
    assert_eq!(erased().await, [(true, true), (true, true)], "a later hold brings nothing back");
}

/// An erasure that was stopped anywhere is gone on with under its own id; what it removed is counted and hashed once,
/// in whatever batches.
pub async fn an_erasure_is_gone_on_with_and_counted_once(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let mut digest = ContentDigest::behind(AuditHash::default());
    let mut conversations = Vec::new();
    for round in 0..5 {
        let conversation = client.begin().await;
        let mut hashes = Vec::new();
        for turn in 0..round {
            let said = saying(&conversation, &format!("{round} {turn}"));
            hashes.extend(*said.turn.content_hash());
            client.append(said).await.expect("a turn is appended");
        }
        conversations.push((conversation.conversation_id, hashes));
    }
    conversations.sort_unstable();
    for (id, hashes) in &conversations {
        digest.add(*id, hashes);
    }
    let first = client.begin_erasure(&of(of_user(&client))).await.expect("it is begun");
    let mut steps = 0;
    let last = loop {
        // Each step in a process of its own.
        let client = client.at_another_handle(harness).await;
        let asked = client.begin_erasure(&of(of_user(&client))).await.expect("it goes on");
        assert_eq!(asked.erasure_id, first.erasure_id);
        let step = client.erase_some(&asked, 2).await.expect("some is erased");
        steps += 1;
        if !step.has_more {
            break step.erasure;
        }
    };
    assert_eq!(steps, 3);
    assert_eq!((last.removed.conversations, last.removed.turns), (5, 10));
    assert_eq!(last.content, digest.hash());
    let again = client.erase_some(&first, 2).await.expect("nothing is left");
    assert_eq!((again.has_more, again.erasure.removed), (false, last.removed));
    let ended = client.end(&first).await.expect("it ends");
    assert_eq!((ended.certificate.as_deref(), ended.content), (Some(CERTIFICATE), digest.hash()));
    assert_eq!(client.end(&first).await.expect("it has ended"), ended, "it ends once");
    let step = client.erase_some(&first, 2).await.expect("it has ended");
    assert_eq!((step.has_more, step.erasure), (false, ended));
    let stranger = NewErasure { target: of_user(&client.somebody_else()), ..first };
    let missing = RepositoryError::not_found(Entity::Erasure);
    assert_refused(client.erase_some(&stranger, 2).await, &missing, "an erasure of another target");
    assert_refused(client.end(&stranger).await, &missing, "an erasure of another target");
    assert_refused(client.end(&of(of_user(&client))).await, &missing, "one that was not begun");
}

/// Erasing again finds nothing, and knows what there was before; a later beginning is erased anew.
pub async fn erasing_again_finds_nothing_and_knows_of_the_first(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let target = of_user(&client);
    client.lived().await;
    let numbers = [client.latest().await];
    let first = client.erase(target).await.expect("it is erased");
    let second = client.erase(target).await.expect("there is nothing");
    assert_ne!(first.erasure_id, second.erasure_id);
    assert_eq!((second.removed, second.content), (ErasedRows::default(), AuditHash::default()));
    client.lived().await;
    let third = client.erase(target).await.expect("it is erased");
    assert_eq!(third.removed.conversations, 1);
    assert!(first.erased_at <= second.erased_at && second.erased_at <= third.erased_at);
    assert!(client.latest().await > numbers[0], "whoever asks sees that something was erased");
    let ended = client.store.erasures().ended_erasures(target, PageLimit::MAX).await.expect("erasures");
    assert_eq!(ended, [third, second, first]);
    let somebody = of_user(&client.somebody_else());
    let ended = client.store.erasures().ended_erasures(somebody, PageLimit::MAX).await.expect("erasures");
    assert_eq!(ended, []);
}

/// The archives that held something are noted once, and are known when it ends; what tombstones name is told.
pub async fn archives_that_held_something_are_noted(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let expired = expired(&client, harness).await;
    let target = of_user(&client);
    assert_eq!(
        client.store.erasures().archived_of(target).await.expect("archives"),
        [],
        "purged, not archived"
    );
    assert_eq!(client.are_erased(&[&expired]).await, [false]);
    let asked = client.begin_erasure(&of(target)).await.expect("it is begun");
    let archive = |archived| ErasedArchive {
        archive_id: ArchiveId::generate(),
        archived,
        held: 3,
        sha256: Some("00ff".to_owned()),
        place: Some("file:///one".to_owned()),
        place_id: Some("one".to_owned()),
        lost: None,
    };
    let (first, second) = (archive(1), ErasedArchive { sha256: None, ..archive(0) });
    let note = async |archives: Vec<ErasedArchive>| {
        client.store.erasures().note_archives(asked.clone(), archives).await
    };
    assert_eq!(note(vec![first.clone()]).await.expect("it is noted").archives, vec![first.clone()]);
    let later = ErasedArchive { archived: 7, place: None, place_id: None, ..first.clone() };
    let noted = note(vec![later, second.clone()]).await.expect("it is noted").archives;
    assert_eq!(noted, [first.clone(), second.clone()], "what is noted stays as it was");
    // But for where it was last, and that somebody states that it is lost.
    let lost = LostArchive { stated_by: "operator:ada".to_owned(), stated_at: DateTime::UNIX_EPOCH };
    let elsewhere = Some("s3://another".to_owned());
    let place_id = Some("another".to_owned());
    let first = ErasedArchive { place: elsewhere, place_id, lost: Some(lost), ..first };
    let again = ErasedArchive { lost: None, place: None, place_id: None, ..first.clone() };
    note(vec![first.clone()]).await.expect("it is noted");
    assert_eq!(note(vec![again]).await.expect("it is noted").archives, [first.clone(), second.clone()]);
    let placed = async || client.store.erasures().last_placed_erasure().await.expect("erasures");
    assert_eq!(placed().await.map(|erasure| erasure.erasure_id), Some(asked.erasure_id));
    while client.erase_some(&asked, 200).await.expect("it is erased").has_more {}
    let ended = client.end(&asked).await.expect("it ends");
    assert_eq!(ended.archives, [first, second]);
    assert_eq!(placed().await, Some(ended.clone()));
    assert_eq!(note(vec![archive(1)]).await.expect("it has ended"), ended);
    let stranger = NewErasure { target: of_user(&client.somebody_else()), ..asked.clone() };
    let missing = RepositoryError::not_found(Entity::Erasure);
    let refused = client.store.erasures().note_archives(stranger, Vec::new()).await;
    assert_refused(refused, &missing, "an erasure of another target");
}

/// It is recorded who erased what and when, by the user's hash and not by the user, and what ends it has its place.
pub async fn an_erasure_is_recorded_without_its_user(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let (conversation, _) = client.lived().await;
    let erasure = client.erase(of_user(&client)).await.expect("it is erased");
    let query = AuditQuery { action: Some(AuditAction::Erase), ..AuditQuery::default() };
    let all = client.store.audit().records(query).await.expect("the log is read");
    let outcomes: Vec<_> = all.iter().map(|row| row.outcome.as_str()).collect();
    assert_eq!(outcomes, ["begun", "done", "done"]);
    for row in &all {
        assert_eq!((row.actor.as_str(), row.on_behalf_of), ("operator:ada", None));
        let detail = row.detail.as_json();
        assert!(detail.contains(&user_hash(client.user_id).to_string()), "{detail}");
        assert!(!detail.contains(&client.user_id.to_string()), "{detail}");
    }
    assert!(all[1].detail.as_json().contains("\"turns\":2"), "{:?}", all[1].detail);
    let recorded = erasure.recorded.expect("it is recorded");
    assert_eq!((recorded.sequence, recorded.hash), (all[2].sequence, all[2].hash));
    let of_user = AuditQuery { user_id: Some(client.user_id), ..query };
    assert_eq!(client.store.audit().records(of_user).await.expect("the log is read"), all);
    let of_it = AuditQuery { conversation_id: Some(conversation.conversation_id), ..query };
    assert_eq!(client.store.audit().records(of_it).await.expect("the log is read"), all[1..2]);
    let of_other = AuditQuery { user_id: Some(client.somebody_else().user_id), ..query };
    assert_eq!(client.store.audit().records(of_other).await.expect("the log is read"), []);
}

/// A hold that is acknowledged while an erasure runs is kept by it: what it is on is there. What the erasure was ahead
/// of is not found.
pub async fn a_hold_racing_an_erasure_is_kept_or_refused(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    for round in 0..50 {
        let owner = client.somebody_else();
        let (conversation, _) = owner.lived().await;
        let target = if round % 4 < 2 { of_user(&owner) } else { of_conversation(&conversation) };
        let hold = NewHold::on(
            HoldTarget::Conversation(conversation.conversation_id),
            name("matter 7"),
            Actor::operator("ada"),
        );
        let (holder, remover) = (other.clone(), client.clone());
        let (placed, erased) = race(
            async move { holder.store.holds().place(hold).await },
            async move { remover.erase(target).await },
            round,
        )
        .await;
        let is_there = owner.get(&conversation).await.is_some();
        match (placed, erased) {
            (Ok(hold), Err(error)) => {
                assert!(is(&error, &held(&hold)), "round {round}: {error:?}");
                assert!(is_there && owner.turns(&conversation).await.len() == 2, "round {round}: it is held");
            }
            (Err(error), Ok(erasure)) => {
                assert!(is(&error, &NO_CONVERSATION), "round {round}: {error:?}");
                assert!(!is_there && erasure.removed.conversations == 1, "round {round}: it is gone");
            }
            outcomes => panic!("round {round}: {outcomes:?}"),
        }
    }
    client.assert_sound().await;
}

/// A turn that is appended while its conversation is erased is erased and counted with it, or refused.
pub async fn an_append_racing_an_erasure_is_counted_or_refused(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    for round in 0..50 {
        let owner = client.somebody_else();
        let (conversation, _) = owner.lived().await;
        let writer = Client { user_id: owner.user_id, ..other.clone() };
        let remover = owner.clone();
        let (late, target) = (saying(&conversation, "late"), of_user(&owner));
        let (appended, erased) =
            race(async move { writer.append(late).await }, async move { remover.erase(target).await }, round)
                .await;
        let turns = erased.expect("it is erased").removed.turns;
        match appended {
            Ok(_) => assert_eq!(turns, 3, "round {round}"),
            Err(error) => {
                assert!(is(&error, &NO_CONVERSATION), "round {round}: {error:?}");
                assert_eq!(turns, 2, "round {round}");
            }
        }
        assert_eq!(owner.remaining(of_user(&owner)).await, BTreeMap::new(), "round {round}");
    }
    client.assert_sound().await;
}
