//! P7: the living are not reaped, and what may go goes once.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use lcs_domain::retention::{ABANDONED_AFTER, LONGEST_WAIT};
use lcs_domain::{
    BeginRequest, Begun, Conversation, ConversationUpdate, PageLimit, PurgeReason, PurgedConversation,
    RetentionPolicy,
};

use super::Harness;
use super::fixture::{Client, LONG_AGO, append, at_once, policy, saving, saying, to_topic, turn, with_state};
use super::request::{OVER, asking, target};

fn purged(client: &Client, conversation: &Conversation, reason: PurgeReason) -> PurgedConversation {
    PurgedConversation {
        conversation_id: conversation.conversation_id,
        user_id: client.user_id,
        agent_id: conversation.agent_id,
        reason,
    }
}

async fn count_due(client: &Client, policy: RetentionPolicy) -> u64 {
    client.store.retention().count_due(policy).await.expect("what is due is counted")
}

/// What has been idle too long goes, and what was deleted, of all users; nothing else does.
pub async fn what_is_idle_or_deleted_is_purged(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let somebody = client.somebody_else();
    assert_eq!(count_due(&client, policy()).await, 0, "an empty store");
    assert_eq!(client.purge(policy()).await, []);
    let (living, idle, theirs, deleted, archived) = (
        client.begin().await,
        client.begin().await,
        somebody.begin().await,
        client.begin().await,
        client.begin().await,
    );
    client.archive(&archived).await;
    for aged in [&idle, &theirs, &archived] {
        harness.age(aged.conversation_id, LONG_AGO).await;
    }
    harness.age(living.conversation_id, LONG_AGO / 2).await;
    client.delete(&deleted).await;
    assert_eq!(count_due(&client, policy()).await, 4);
    let mut found = client.purge(policy()).await;
    let mut expected = vec![
        purged(&client, &idle, PurgeReason::Expired),
        purged(&somebody, &theirs, PurgeReason::Expired),
        purged(&client, &deleted, PurgeReason::Deleted),
        purged(&client, &archived, PurgeReason::Expired),
    ];
    found.sort_by_key(|purged| purged.conversation_id);
    expected.sort_by_key(|purged| purged.conversation_id);
    assert_eq!(found, expected);
    assert_eq!(count_due(&client, policy()).await, 0, "nothing is left to purge");
    assert!(client.get(&living).await.is_some(), "what is not idle that long is kept");
}

/// What was deleted goes however long a policy keeps what is idle.
pub async fn the_deleted_are_purged_whatever_their_age(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let (kept, deleted) = (client.begin().await, client.begin().await);
    harness.age(kept.conversation_id, LONG_AGO).await;
    client.delete(&deleted).await;
    let for_ever = RetentionPolicy::idle_longer_than(Duration::from_hours(1000 * 366 * 24));
    let for_ever = for_ever.expect("a thousand years is a policy");
    assert_eq!(count_due(&client, for_ever).await, 1);
    assert_eq!(client.purge(for_ever).await, [purged(&client, &deleted, PurgeReason::Deleted)]);
    assert!(client.get(&kept).await.is_some());
}

/// A conversation that wakes up is kept, whatever woke it.
pub async fn a_conversation_that_wakes_up_is_kept(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    for step in 0..5 {
        harness.age(conversation.conversation_id, LONG_AGO).await;
        assert_eq!(count_due(&client, policy()).await, 1, "step {step}: it is due");
        match step {
            0 => drop(client.say(&conversation, "good morning").await),
            1 => {
                let append = with_state(saying(&conversation, "good morning"), &conversation, "1", 0);
                client.append(append).await.expect("a turn is appended");
            }
            2 => drop(client.save(saving(&conversation, "2", 1)).await.expect("a state is saved")),
            3 => drop(client.update(&conversation, to_topic("t")).await.expect("an update")),
            _ => drop(client.archive(&conversation).await),
        }
        assert_eq!(count_due(&client, policy()).await, 0, "step {step}: it has woken up");
        assert_eq!(client.purge(policy()).await, [], "step {step}: it is kept");
        assert!(client.get(&conversation).await.is_some(), "step {step}: it is there");
    }
}

/// Looking at a conversation does not wake it up.
pub async fn reading_does_not_wake_up(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    client.say(&conversation, "good night").await;
    harness.age(conversation.conversation_id, LONG_AGO).await;
    client.get(&conversation).await;
    client.head(&conversation).await;
    client.turns(&conversation).await;
    client.state(&conversation).await;
    client.update(&conversation, ConversationUpdate::default()).await.expect("an empty update");
    assert_eq!(client.purge(policy()).await.len(), 1, "it was only looked at");
}

/// A purge takes all that belongs to a conversation with it, and nothing of another.
pub async fn a_purge_takes_turns_and_state_along(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let (kept, goes) = (client.begin().await, client.begin().await);
    let said = turn(lcs_domain::TurnId::generate(), "said");
    for (conversation, turn) in [(&goes, said.clone()), (&kept, turn(lcs_domain::TurnId::generate(), "kept"))]
    {
        let append = with_state(append(conversation, turn), conversation, "1", 0);
        client.append(append).await.expect("a turn is appended");
    }
    let before = (client.get(&kept).await, client.state(&kept).await, client.turns(&kept).await);
    harness.age(goes.conversation_id, LONG_AGO).await;
    assert_eq!(client.purge(policy()).await.len(), 1);
    let after = (client.get(&kept).await, client.state(&kept).await, client.turns(&kept).await);
    assert_eq!(after, before, "the other one is as it was");
    // Were the turn's row still there, its id would be taken.
    let reused = client.append(append(&kept, said)).await.expect("nothing is left of the purged turn");
    assert_eq!(reused.turn_number, Some(2));
    client.assert_sound().await;
}

/// A batch is no larger than it may be, and batches come to an end.
pub async fn a_batch_has_its_limit(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    for _ in 0..7 {
        let conversation = client.begin().await;
        harness.age(conversation.conversation_id, LONG_AGO).await;
    }
    let limit = PageLimit::new(3).expect("a page size");
    let mut sizes = Vec::new();
    for _ in 0..4 {
        let report = client.store.retention().purge_batch(policy(), limit).await;
        sizes.push(report.expect("a batch is purged").purged.len());
    }
    assert_eq!(sizes, [3, 3, 1, 0]);
}

/// Two cleaners at once purge each conversation once, and together all of them.
pub async fn two_cleaners_share_the_work(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    let mut due = BTreeSet::new();
    for i in 0..60 {
        let conversation = client.begin().await;
        client.append(with_state(saying(&conversation, "x"), &conversation, "1", 0)).await.expect("a turn");
        if i % 3 == 0 {
            client.delete(&conversation).await;
        } else {
            harness.age(conversation.conversation_id, LONG_AGO).await;
        }
        due.insert(conversation.conversation_id);
    }
    let kept = client.begin().await;
    let cleaned = at_once([client.clone(), other, client.clone()].map(|client| async move {
        let limit = PageLimit::new(4).expect("a page size");
        let mut mine = Vec::new();
        loop {
            let report = client.store.retention().purge_batch(policy(), limit).await;
            let purged = report.expect("a batch is purged").purged;
            mine.extend(purged.iter().map(|purged| purged.conversation_id));
            // Fewer than the limit may only mean that the others hold the rest.
            if count_due(&client, policy()).await == 0 {
                return mine;
            }
        }
    }))
    .await;
    let all: Vec<_> = cleaned.iter().flatten().copied().collect();
    assert_eq!(all.len(), 60, "each is purged once: {:?}", cleaned.iter().map(Vec::len).collect::<Vec<_>>());
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), due, "together all of them");
    assert!(client.get(&kept).await.is_some(), "and no other");
    client.assert_sound().await;
}

/// Turns follow each other, whoever takes them and however long each is: a replica more does not remove more.
pub async fn all_who_keep_a_pace_share_it(harness: &dyn Harness) {
    const MINUTE: Duration = LONGEST_WAIT;
    let (one, other) = (Client::of(harness).await, Client::of(harness).await);
    let take = async |client: &Client, count: u32| {
        let rate = NonZeroU32::new(10).expect("a rate");
        client.store.retention().take_turn(count, rate).await.expect("a turn is taken")
    };
    // Time goes on between them: so much of it that a turn of ten seconds is over would be a failure of its own.
    let within = |turn: Duration, seconds: u64| {
        let latest = Duration::from_secs(seconds);
        assert!(turn <= latest && turn + Duration::from_secs(10) > latest, "{turn:?}, not {latest:?}");
    };
    assert_eq!(take(&one, 100).await, Duration::ZERO, "nobody was there before");
    within(take(&other, 200).await, 10);
    within(take(&one, 100).await, 30);
    within(take(&other, 100_000).await, 40);
    assert!(take(&one, 1).await <= MINUTE, "nobody waits for hours");
}

/// A purge takes the requests to a conversation along: they are neither found nor in the way afterwards.
pub async fn a_purge_takes_its_users_requests_along(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let somebody = client.somebody_else();
    let (kept, goes) = (client.begin().await, client.begin().await);
    let to = |conversation: &Conversation, key| BeginRequest {
        conversation_id: conversation.conversation_id,
        ..asking(Some(key))
    };
    let (answered, running) = (to(&goes, "answered"), to(&goes, "running"));
    let (of_kept, of_somebody) = (to(&kept, "kept"), to(&goes, "theirs"));
    for begin in [&answered, &running, &of_kept] {
        client.ask(begin).await;
    }
    somebody.ask(&of_somebody).await;
    client.finish(&answered).await;
    client.finish(&of_kept).await;
    somebody.finish(&of_somebody).await;
    client.delete(&goes).await;
    assert_eq!(
        client.ask(&to(&goes, "answered")).await,
        Begun::Finished(target(&answered)),
        "until the purge"
    );
    assert_eq!(client.purge(policy()).await.len(), 1);
    for key in ["answered", "running"] {
        let anew = to(&kept, key);
        assert_eq!(client.ask(&anew).await, Begun::Started(target(&anew)), "{key}: it is forgotten");
    }
    assert_eq!(client.ask(&to(&kept, "kept")).await, Begun::Finished(target(&of_kept)), "of another one");
    let theirs = somebody.ask(&to(&goes, "theirs")).await;
    assert_eq!(theirs, Begun::Finished(target(&of_somebody)), "another user's is no part of it");
}

/// A request whose lease ended long ago and whose turn was not stored goes, in batches; no other does.
pub async fn what_a_crash_left_of_requests_is_purged(harness: &dyn Harness) {
    const DAY: Duration = ABANDONED_AFTER;
    let client = Client::of(harness).await;
    let purge = async |limit| {
        let limit = PageLimit::new(limit).expect("a page size");
        client.store.retention().purge_requests(limit).await.expect("requests are purged")
    };
    let conversation = client.begin().await;
    let stored = BeginRequest { conversation_id: conversation.conversation_id, ..asking(Some("stored")) };
    let stored = BeginRequest { lease: OVER, ..stored };
    client.append(append(&conversation, turn(stored.turn_id, "said"))).await.expect("a turn is appended");
    let (answered, running) = (asking(Some("answered")), asking(Some("running")));
    let recent = BeginRequest { lease: OVER, ..asking(Some("recent")) };
    let abandoned: Vec<_> = ["one", "two", "three"]
        .into_iter()
        .map(|key| BeginRequest { lease: OVER, ..asking(Some(key)) })
        .chain([BeginRequest { lease: OVER, ..asking(None) }])
        .collect();
    for begin in [&stored, &answered, &running, &recent].into_iter().chain(&abandoned) {
        client.ask(begin).await;
    }
    client.finish(&answered).await;
    harness.age_request(recent.request_id, DAY / 2).await;
    for old in [&stored, &answered].into_iter().chain(&abandoned) {
        harness.age_request(old.request_id, DAY + Duration::from_mins(10)).await;
    }
    assert_eq!([purge(3).await, purge(3).await, purge(3).await], [3, 1, 0]);

    for begin in abandoned.iter().filter(|begin| begin.idempotency_key.is_some()) {
        let anew = asking(begin.idempotency_key.as_deref());
        assert_eq!(client.ask(&anew).await, Begun::Started(target(&anew)), "it is forgotten");
    }
    for kept in [&stored, &recent] {
        let heir = client.ask(&asking(kept.idempotency_key.as_deref())).await;
        assert_eq!(heir, Begun::Started(target(kept)), "what it may have stored is found");
    }
    assert_eq!(client.ask(&asking(Some("answered"))).await, Begun::Finished(target(&answered)));
    let busy = client.ask(&asking(Some("running"))).await;
    assert!(matches!(busy, Begun::InProgress { .. }), "{busy:?}");
}
