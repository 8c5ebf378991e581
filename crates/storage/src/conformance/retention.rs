//! How long what is kept: by its status, by its user, and what is told of it.

use std::time::Duration;

use lcs_domain::conversation::OpenStatus;
use lcs_domain::{
    Actor, AuditAction, AuditQuery, Keep, Keeping, NewHold, NewRetentionOverride, PageLimit,
    RetentionOverride, RetentionPolicy, UserId,
};

use super::Harness;
use super::fixture::{Client, LONG_AGO, name, policy, to_status};

const DAY: Duration = Duration::from_hours(24);

async fn set(client: &Client, user_id: UserId, keep: Keep) -> RetentionOverride {
    let new = NewRetentionOverride { user_id, keep, set_by: Actor::operator("ada") };
    client.store.retention_overrides().set_override(new).await.expect("a retention is set")
}

async fn remove(client: &Client, user_id: UserId) -> Option<RetentionOverride> {
    let removed = client.store.retention_overrides().remove_override(user_id, Actor::operator("eve")).await;
    removed.expect("a retention is removed")
}

async fn purged(client: &Client, policy: RetentionPolicy) -> usize {
    let due = client.store.retention().count_due(policy).await.expect("what is due is counted");
    let purged = client.purge(policy).await.len();
    assert_eq!(purged as u64, due, "what is counted is what goes");
    purged
}

/// An archived conversation is kept for its own time, and so is one that its user deleted.
pub async fn each_status_has_its_own_limit(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let policy = RetentionPolicy::idle_longer_than(10 * DAY)
        .and_then(|policy| policy.archived_longer_than(30 * DAY))
        .and_then(|policy| policy.deleted_longer_than(5 * DAY))
        .expect("a policy");
    let (active, archived, deleted) = (client.begin().await, client.begin().await, client.begin().await);
    client.archive(&archived).await;
    assert!(client.delete(&deleted).await);
    for (days, expected) in [(4, [0; 3]), (2, [0, 0, 1]), (5, [1, 0, 0]), (18, [0; 3]), (2, [0, 1, 0])] {
        for conversation in [&active, &archived, &deleted] {
            harness.age(conversation.conversation_id, days * DAY).await;
        }
        assert_eq!(purged(&client, policy).await, expected.iter().sum::<usize>(), "after {days} more days");
        if expected[0] == 1 {
            assert!(client.get(&active).await.is_none());
            assert!(client.get(&archived).await.is_some());
        }
    }
}

/// What a user's own retention says goes before what the policy says of idle conversations; what is deleted goes by
/// the policy.
pub async fn a_users_own_retention_goes_before_the_policy(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let (keeper, hasty) = (client.somebody_else(), client.somebody_else());
    let kept = keeper.begin().await;
    let archived = keeper.begin().await;
    keeper.archive(&archived).await;
    let (deleted, short, usual) = (keeper.begin().await, hasty.begin().await, client.begin().await);
    assert!(keeper.delete(&deleted).await);
    set(&client, keeper.user_id, Keep::Forever).await;
    set(&client, hasty.user_id, Keep::days(10).expect("days")).await;
    for conversation in [&kept, &archived, &usual] {
        harness.age(conversation.conversation_id, LONG_AGO).await;
    }
    harness.age(short.conversation_id, 9 * DAY).await;
    assert_eq!(purged(&client, policy()).await, 2, "the usual one and the deleted one");
    assert!(keeper.get(&kept).await.is_some() && keeper.get(&archived).await.is_some());
    harness.age(short.conversation_id, 2 * DAY).await;
    assert_eq!(purged(&client, policy()).await, 1, "the hasty one's");
    // Changed, it is what it was changed to; taken back, the policy holds.
    set(&client, keeper.user_id, Keep::days(1_000).expect("days")).await;
    assert_eq!(purged(&client, policy()).await, 0);
    assert!(remove(&client, keeper.user_id).await.is_some());
    assert_eq!(purged(&client, policy()).await, 2);
}

/// A conversation that wakes up under its user's own retention is kept (P7).
pub async fn p7_a_wake_up_counts_under_a_users_own_retention(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    set(&client, client.user_id, Keep::days(1).expect("days")).await;
    harness.age(conversation.conversation_id, 2 * DAY).await;
    client.update(&conversation, to_status(OpenStatus::Archived)).await.expect("an update");
    assert_eq!(purged(&client, policy()).await, 0);
    harness.age(conversation.conversation_id, 2 * DAY).await;
    assert_eq!(purged(&client, policy()).await, 1);
}

/// Users' own retention is listed page by page, and setting and removing it is recorded.
pub async fn own_retention_is_listed_and_recorded(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let mut expected = Vec::new();
    for days in 1..=5 {
        expected.push(set(&client, UserId::generate(), Keep::days(days).expect("days")).await);
    }
    let changed = set(&client, expected[2].user_id, Keep::Forever).await;
    assert_eq!((changed.keep, changed.set_by.as_str()), (Keep::Forever, "operator:ada"));
    expected[2] = changed;
    let removed = remove(&client, expected[4].user_id).await;
    assert_eq!(removed, expected.pop());
    assert_eq!(remove(&client, UserId::generate()).await, None);
    expected.sort_by_key(|own| own.user_id);
    for limit in [1, 3, 50] {
        let limit = PageLimit::new(limit).expect("a page size");
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = client.store.retention_overrides().overrides(after, limit).await;
            let page = page.expect("they are listed");
            let Some(last) = page.last() else { break };
            after = Some(last.user_id);
            listed.extend(page);
        }
        assert_eq!(listed, expected, "{limit:?}");
    }
    let recorded = async |action| {
        let query = AuditQuery { action: Some(action), ..AuditQuery::default() };
        client.store.audit().records(query).await.expect("the log is read")
    };
    let set = recorded(AuditAction::RetentionSet).await;
    assert_eq!(set.len(), 6);
    assert_eq!(set[0].detail.as_json(), r#"{"days":1}"#);
    assert_eq!(
        (set[5].detail.as_json(), set[5].on_behalf_of),
        (r#"{"keep":"forever"}"#, Some(expected_of(&set)))
    );
    let removed = recorded(AuditAction::RetentionRemoved).await;
    assert_eq!((removed.len(), removed[0].actor.as_str()), (1, "operator:eve"));
}

fn expected_of(set: &[lcs_domain::AuditRecord]) -> UserId {
    set[2].on_behalf_of.expect("a user")
}

/// A user is told what keeps conversations: their own retention, and which are held; nothing of another's.
pub async fn what_keeps_a_conversation_is_told(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let somebody = client.somebody_else();
    let (held, free) = (client.begin().await, client.begin().await);
    let ids = vec![held.conversation_id, free.conversation_id];
    let keeping = async |user_id| {
        client.store.retention().keeping(user_id, ids.clone()).await.expect("what keeps them is told")
    };
    assert_eq!(keeping(client.user_id).await, Keeping::default());
    let on = |target| NewHold::on(target, name("matter 7"), Actor::operator("ada"));
    let place = async |hold| client.store.holds().place(hold).await.expect("a hold is placed");
    place(on(lcs_domain::HoldTarget::Conversation(held.conversation_id))).await;
    set(&client, client.user_id, Keep::Forever).await;
    let expected =
        Keeping { own: Some(Keep::Forever), held: vec![held.conversation_id], ..Keeping::default() };
    assert_eq!(keeping(client.user_id).await, expected);
    assert_eq!(keeping(somebody.user_id).await, Keeping::default(), "another's is nobody's business");
    let on_user = place(on(lcs_domain::HoldTarget::User(client.user_id))).await;
    let mut all = keeping(client.user_id).await;
    all.held.sort();
    let mut both = ids.clone();
    both.sort();
    assert_eq!(all.held, both);
    client.store.holds().release(on_user.hold_id, Actor::operator("eve")).await.expect("it is released");
    assert_eq!(keeping(client.user_id).await, expected);
    let none =
        client.store.retention().keeping(client.user_id, Vec::new()).await.expect("none are asked for");
    assert_eq!(none, Keeping { own: Some(Keep::Forever), ..Keeping::default() });
}
