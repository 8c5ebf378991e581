//! Legal hold: what it is on stays, whoever wants it gone and whenever it was placed.

use std::collections::BTreeSet;
use std::slice;

use lcs_domain::archive::{Forgotten, UserHash};
use lcs_domain::{
    Actor, AuditAction, AuditQuery, Conversation, Entity, ErasureTarget, Hold, HoldId, HoldTarget, NewHold,
    PageLimit, RepositoryError, UserId,
};

use super::Harness;
use super::archive::{archived, idle, left};
use super::erasure;
use super::fixture::{Client, LONG_AGO, NO_CONVERSATION, assert_refused, name, policy, race};

fn new(target: HoldTarget) -> NewHold {
    NewHold::on(target, name("matter 7"), Actor::operator("ada"))
}

fn on(conversation: &Conversation) -> NewHold {
    new(HoldTarget::Conversation(conversation.conversation_id))
}

async fn place(client: &Client, hold: NewHold) -> Hold {
    client.store.holds().place(hold).await.expect("a hold is placed")
}

async fn release(client: &Client, hold: &Hold) -> Option<Hold> {
    let released = client.store.holds().release(hold.hold_id, Actor::operator("eve")).await;
    released.expect("a hold is released")
}

async fn counts(client: &Client) -> (u64, u64) {
    let retention = client.store.retention();
    let due = retention.count_due(policy()).await.expect("what is due is counted");
    (due, retention.count_held(policy()).await.expect("what is held is counted"))
}

async fn aged(client: &Client, harness: &dyn Harness) -> Conversation {
    let conversation = client.begin().await;
    client.say(&conversation, "to be kept").await;
    harness.age(conversation.conversation_id, LONG_AGO).await;
    conversation
}

/// What a hold is on is not purged, and goes when it is released; nothing else is kept by it.
pub async fn what_is_held_is_kept_until_it_is_released(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let (held_user, somebody) = (client.somebody_else(), client.somebody_else());
    let (held, goes) = (aged(&client, harness).await, aged(&client, harness).await);
    let (theirs, others) = (aged(&held_user, harness).await, aged(&somebody, harness).await);
    assert_eq!(counts(&client).await, (4, 0));
    let on_conversation = place(&client, on(&held)).await;
    let on_user = place(&client, new(HoldTarget::User(held_user.user_id))).await;
    // What is begun under a hold on its user is held too.
    let later = aged(&held_user, harness).await;
    assert_eq!(counts(&client).await, (2, 3));
    let purged: BTreeSet<_> =
        client.purge(policy()).await.into_iter().map(|purged| purged.conversation_id).collect();
    assert_eq!(purged, BTreeSet::from([goes.conversation_id, others.conversation_id]));
    assert_eq!(client.turns(&held).await.len(), 1, "with all that belongs to it");
    assert_eq!(counts(&client).await, (0, 3));
    assert!(release(&client, &on_conversation).await.is_some());
    assert_eq!(client.purge(policy()).await.len(), 1);
    assert!(client.get(&held).await.is_none());
    assert!(release(&client, &on_user).await.is_some());
    let purged: BTreeSet<_> =
        client.purge(policy()).await.into_iter().map(|purged| purged.conversation_id).collect();
    assert_eq!(purged, BTreeSet::from([theirs.conversation_id, later.conversation_id]));
    client.assert_sound().await;
}

/// Of several holds on one thing each has to be released.
pub async fn the_last_hold_keeps_it(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = aged(&client, harness).await;
    let holds = [
        place(&client, on(&conversation)).await,
        place(&client, on(&conversation)).await,
        place(&client, new(HoldTarget::User(client.user_id))).await,
    ];
    for hold in &holds {
        assert_eq!(client.purge(policy()).await, [], "{hold:?}");
        release(&client, hold).await;
    }
    assert_eq!(client.purge(policy()).await.len(), 1);
}

/// A user's delete hides the conversation at once; its rows stay as long as it is held.
pub async fn a_delete_under_a_hold_hides_and_keeps(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    client.say(&conversation, "to be kept").await;
    let hold = place(&client, on(&conversation)).await;
    assert!(client.delete(&conversation).await);
    assert!(client.get(&conversation).await.is_none(), "it is hidden");
    assert_eq!(counts(&client).await, (0, 1));
    assert_eq!(client.purge(policy()).await, []);
    release(&client, &hold).await;
    assert_eq!(client.purge(policy()).await.len(), 1);
    // What is deleted can still be held, as long as it is there.
    let deleted = client.begin().await;
    assert!(client.delete(&deleted).await);
    place(&client, on(&deleted)).await;
    assert_eq!(client.purge(policy()).await, []);
}

/// The same hold placed again is the one that is there, a released one too; another under its id is refused.
pub async fn a_hold_is_placed_and_released_once(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let (conversation, other) = (client.begin().await, client.begin().await);
    let asked = on(&conversation);
    let placed = place(&client, asked.clone()).await;
    assert!(asked.made(&placed) && placed.released_at.is_none(), "{placed:?}");
    assert_eq!(placed.user_id, client.user_id);
    assert_eq!(place(&client, asked.clone()).await, placed);
    for another in [
        NewHold { target: HoldTarget::Conversation(other.conversation_id), ..asked.clone() },
        NewHold { target: HoldTarget::User(client.user_id), ..asked.clone() },
        NewHold { reason: name("another matter"), ..asked.clone() },
        NewHold { placed_by: Actor::operator("eve"), ..asked.clone() },
    ] {
        let refused = client.store.holds().place(another).await;
        assert_refused(refused, &RepositoryError::AlreadyExists { entity: Entity::Hold }, "another hold");
    }
    let released = release(&client, &placed).await.expect("it is there");
    assert_eq!(released.released_by.as_deref(), Some("operator:eve"));
    assert!(released.released_at.is_some_and(|at| at >= placed.placed_at));
    let unreleased = Hold { released_at: None, released_by: None, ..released.clone() };
    assert_eq!(unreleased, placed);
    let again = client.store.holds().release(placed.hold_id, Actor::operator("ada")).await;
    assert_eq!(again.expect("it is released"), Some(released.clone()), "by whom it was released first");
    assert_eq!(place(&client, asked).await, released, "it stays released");
    let nobody = client.store.holds().release(HoldId::generate(), Actor::operator("ada")).await;
    assert_eq!(nobody.expect("none is found"), None);
}

/// What is not there cannot be held, and what has no name cannot be why.
pub async fn a_hold_needs_what_it_is_on_and_a_reason(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    assert!(client.delete(&conversation).await);
    client.purge(policy()).await;
    let refused = client.store.holds().place(on(&conversation)).await;
    assert_refused(refused, &NO_CONVERSATION, "it was purged");
    let reason = lcs_domain::Text::summary("", "").expect("a summary may be empty");
    let refused =
        client.store.holds().place(NewHold { reason, ..new(HoldTarget::User(client.user_id)) }).await;
    assert!(matches!(refused, Err(RepositoryError::Invalid { .. })), "{refused:?}");
    assert_eq!(client.store.holds().list_holds(None, PageLimit::MAX).await.expect("holds are listed"), []);
}

/// Those in force are listed page by page; of a conversation those that keep it, of a user those that keep anything.
pub async fn holds_are_listed(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let somebody = client.somebody_else();
    let (one, two, theirs) = (client.begin().await, client.begin().await, somebody.begin().await);
    let mut placed = vec![
        place(&client, on(&one)).await,
        place(&client, on(&two)).await,
        place(&client, on(&theirs)).await,
        place(&client, new(HoldTarget::User(client.user_id))).await,
        place(&client, on(&one)).await,
    ];
    let gone = placed.remove(4);
    release(&client, &gone).await;
    placed.sort_by_key(|hold| hold.hold_id);
    for limit in [1, 2, 50] {
        let limit = PageLimit::new(limit).expect("a page size");
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = client.store.holds().list_holds(after, limit).await.expect("holds are listed");
            let Some(last) = page.last() else { break };
            after = Some(last.hold_id);
            listed.extend(page);
        }
        assert_eq!(listed, placed, "{limit:?}");
    }
    let holding = async |target| {
        let holding = client.store.holds().holding(target).await.expect("holds are looked up");
        holding.into_iter().map(|hold| hold.conversation_id).collect::<BTreeSet<_>>()
    };
    let id = |conversation: &Conversation| Some(conversation.conversation_id);
    let of = |conversation: &Conversation| HoldTarget::Conversation(conversation.conversation_id);
    assert_eq!(holding(of(&one)).await, BTreeSet::from([None, id(&one)]));
    assert_eq!(holding(of(&theirs)).await, BTreeSet::from([id(&theirs)]));
    assert_eq!(holding(HoldTarget::User(client.user_id)).await, BTreeSet::from([None, id(&one), id(&two)]));
    assert_eq!(holding(HoldTarget::User(UserId::generate())).await, BTreeSet::new());
    let absent = HoldTarget::Conversation(lcs_domain::ConversationId::generate());
    assert_eq!(holding(absent).await, BTreeSet::new());
}

/// Who placed and who released is recorded, each once.
pub async fn holds_are_recorded(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    let asked = on(&conversation);
    for _ in 0..2 {
        place(&client, asked.clone()).await;
    }
    let hold = place(&client, asked).await;
    for _ in 0..2 {
        release(&client, &hold).await;
    }
    for (action, actor) in
        [(AuditAction::HoldPlaced, "operator:ada"), (AuditAction::HoldReleased, "operator:eve")]
    {
        let query = AuditQuery { action: Some(action), ..AuditQuery::default() };
        let found = client.store.audit().records(query).await.expect("the log is read");
        let [found] = found.as_slice() else { panic!("one row: {found:?}") };
        assert_eq!((found.actor.as_str(), found.outcome.as_str()), (actor, "done"));
        assert_eq!(found.on_behalf_of, Some(client.user_id));
        assert_eq!(found.conversation_id, Some(conversation.conversation_id));
        assert_eq!(found.detail.as_json(), format!("{{\"hold_id\":\"{}\"}}", hold.hold_id));
    }
}

/// A hold on a user keeps from an erasure what is archived of theirs, of which there is no row; others' it does not.
pub async fn what_is_archived_is_held_with_its_user(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let somebody = client.somebody_else();
    let (mine, theirs) = (idle(&client, harness).await, idle(&somebody, harness).await);
    let (archive_id, _) = archived(&client, &[&mine, &theirs]).await;
    let hold = place(&client, new(HoldTarget::User(client.user_id))).await;
    let of = |conversation: &Conversation| HoldTarget::Conversation(conversation.conversation_id);
    let holds = client.store.holds();
    assert_eq!(holds.holding(of(&mine)).await.expect("holds are looked up"), slice::from_ref(&hold));
    assert_eq!(holds.holding(of(&theirs)).await.expect("holds are looked up"), []);
    let erase = async |conversation: &Conversation| {
        client.erase(ErasureTarget::Conversation(conversation.conversation_id)).await
    };
    assert_refused(erase(&mine).await, &hold.refusal(), "its user is held");
    let archived_in = client.store.archives().archived_in(archive_id).await.expect("a list");
    assert!(archived_in.contains(&mine.conversation_id), "{archived_in:?}");
    erase(&theirs).await.expect("nobody holds it");
    release(&client, &hold).await;
    erase(&mine).await.expect("it is released");
    let left =
        client.store.archives().leave_archives(Forgotten::Conversations(vec![mine.conversation_id])).await;
    left.expect("it leaves its archive");
    place(&client, new(HoldTarget::User(client.user_id))).await;
    let kept = holds.holding(of(&mine)).await.expect("holds are looked up");
    assert_eq!(kept, [], "nothing of it is left to keep");
}

/// A hold that is placed behind the last batch of an erasure keeps what is archived still: by its user or its
/// conversation.
pub async fn a_hold_behind_the_last_batch_keeps_what_is_archived(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let (one, two, stored) =
        (idle(&client, harness).await, idle(&client, harness).await, client.begin().await);
    let (archive_id, _) = archived(&client, &[&one, &two]).await;
    let of_one = ErasureTarget::Conversation(one.conversation_id);
    for target in [of_one, ErasureTarget::User(client.user_id)] {
        let asked = client.begin_erasure(&erasure::of(target)).await.expect("it is begun");
        while client.erase_some(&asked, 200).await.expect("rows go").has_more {}
        let hold = place(&client, new(HoldTarget::User(client.user_id))).await;
        let noted = client.store.erasures().note_archives(asked.clone(), Vec::new()).await;
        assert_refused(noted, &hold.refusal(), "it is held before archives are touched");
        let what = || match target {
            ErasureTarget::User(user_id) => Forgotten::User(UserHash::of(user_id)),
            ErasureTarget::Conversation(id) => Forgotten::Conversations(vec![id]),
        };
        let archives = client.store.archives();
        assert_refused(archives.leave_archives(what()).await, &hold.refusal(), "it is held in its archive");
        let looked_at = if target == of_one { &one } else { &two };
        let left = left(&client, looked_at.conversation_id).await;
        assert_eq!(left.and_then(|left| left.archive_id), Some(archive_id), "it is there still");
        let somebody = Forgotten::User(UserHash::of(UserId::generate()));
        assert_eq!(archives.leave_archives(somebody).await.expect("nobody holds it"), 0);
        release(&client, &hold).await;
        client.store.erasures().note_archives(asked, Vec::new()).await.expect("it is released");
        assert_eq!(archives.leave_archives(what()).await.expect("it is released"), 1);
    }
    assert!(client.get(&stored).await.is_none());
    // One on a conversation keeps the whole user, of a conversation of their own nobody else.
    let kept = client.begin().await;
    let hold = place(&client, on(&kept)).await;
    let user = Forgotten::User(UserHash::of(client.user_id));
    assert_refused(
        client.store.archives().leave_archives(user).await,
        &hold.refusal(),
        "one of theirs is held",
    );
    let other = Forgotten::Conversations(vec![two.conversation_id]);
    assert_eq!(client.store.archives().leave_archives(other).await.expect("another is held"), 0);
}

/// A hold that is acknowledged while a purge runs is kept by it: what it is on is there, now and later. What the purge
/// was ahead of is not found.
pub async fn a_hold_racing_a_purge_is_kept_or_refused(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    for round in 0..24 {
        let owner = client.somebody_else();
        let conversation = aged(&owner, harness).await;
        let target = if round % 3 == 0 {
            HoldTarget::User(owner.user_id)
        } else {
            HoldTarget::Conversation(conversation.conversation_id)
        };
        let (placer, purger) = (other.clone(), client.clone());
        let seen = owner.clone();
        let looked_at = conversation.clone();
        let (kept, _) = race(
            async move {
                let answer = placer.store.holds().place(new(target)).await;
                // From the moment on at which it is acknowledged.
                let is_there = seen.get(&looked_at).await.is_some();
                (answer, is_there)
            },
            async move { purger.purge(policy()).await },
            round,
        )
        .await;
        client.purge(policy()).await;
        let stays = owner.get(&conversation).await.is_some();
        match (target, kept) {
            (_, (Ok(_), is_there)) if is_there => assert!(stays, "round {round}: it was held, and is gone"),
            // A user can be held who has nothing left.
            (HoldTarget::User(_), (Ok(_), _)) => assert!(!stays, "round {round}"),
            (_, (Err(RepositoryError::NotFound { .. }), is_there)) => {
                assert!(!is_there && !stays, "round {round}: it was refused, and is there");
            }
            (_, kept) => panic!("round {round}: {kept:?}"),
        }
    }
    client.assert_sound().await;
}
