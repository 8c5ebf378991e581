//! An operator's look: every user's conversations, the deleted ones too, and what is left of the purged.

use std::time::Duration;

use lcs_domain::{
    Actor, AuditAction, AuditQuery, Conversation, ConversationId, ConversationStatus, FindConversations,
    FoundConversation, IdBeginning, PageLimit, RepositoryError, Text, TurnRange,
};

use super::Harness;
use super::fixture::{Client, append, at_once, beginning, policy, to_topic, turn, with_state};

async fn find(client: &Client, find: FindConversations) -> Vec<FoundConversation> {
    let mut find = find;
    let mut all = Vec::new();
    loop {
        let page = client.store.browse().find_conversations(find.clone()).await.expect("they are looked for");
        assert!(page.conversations.len() <= find.limit.get() as usize);
        all.extend(page.conversations);
        let Some(next) = page.next else { return all };
        find.after = Some(next);
    }
}

fn ids(found: &[FoundConversation]) -> Vec<ConversationId> {
    found.iter().map(|found| found.conversation_id).collect()
}

fn topic(part: &str) -> FindConversations {
    FindConversations {
        topic: Some(Text::summary(part, "/topic").expect("a part of a topic")),
        ..FindConversations::default()
    }
}

async fn about(client: &Client, topic: &str) -> Conversation {
    let conversation = client.begin().await;
    client.update(&conversation, to_topic(topic)).await.expect("it is updated")
}

/// They are found over all users and in every status, newest first, in pages of any size.
pub async fn all_conversations_are_found_newest_first(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let somebody = client.somebody_else();
    assert_eq!(find(&client, FindConversations::default()).await, []);
    let first = about(&client, "the first").await;
    let theirs = somebody.begin().await;
    client.say(&first, "again").await;
    let archived = client.archive(&client.begin().await).await;
    let deleted = client.begin().await;
    assert!(client.delete(&deleted).await);
    for (place, conversation) in [&first, &archived, &deleted].into_iter().enumerate() {
        let hours = u32::try_from(place).expect("a small number") + 1;
        harness.age(conversation.conversation_id, Duration::from_hours(1) * hours).await;
    }
    let newest_first =
        [&theirs, &first, &archived, &deleted].map(|conversation| conversation.conversation_id);
    for limit in [1, 3, 50] {
        let limit = PageLimit::new(limit).expect("a page size");
        let all = find(&client, FindConversations { limit, ..FindConversations::default() }).await;
        assert_eq!(ids(&all), newest_first, "{limit:?}");
    }
    let found = find(&client, FindConversations::default()).await;
    let statuses: Vec<_> = found.iter().map(|found| found.status).collect();
    let (active, archived) = (ConversationStatus::Active, ConversationStatus::Archived);
    assert_eq!(statuses, [active, active, archived, ConversationStatus::Deleted]);
    let is = client.get(&first).await.expect("it is there");
    let expected = FoundConversation {
        conversation_id: is.conversation_id,
        user_id: client.user_id,
        topic_summary: is.topic_summary,
        status: is.status,
        turn_count: 1,
        created_at: is.created_at,
        updated_at: is.updated_at,
    };
    assert_eq!(found[1], expected);
}

/// They are found by a beginning of the id, by the user, by a part of the topic, and by all of these.
pub async fn what_is_looked_for_is_found_and_nothing_else(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let somebody = client.somebody_else();
    let pods = about(&client, "Why do PODS restart? 100 %_\\").await;
    let theirs = about(&somebody, "pods again").await;
    let other = client.begin().await;
    let text = pods.conversation_id.to_string();
    for (beginning, found) in [
        (text.as_str(), vec![pods.conversation_id]),
        (text.get(..35).expect("a part of an id"), vec![pods.conversation_id]),
        ("ffffffff", vec![]),
    ] {
        let id: IdBeginning = beginning.parse().expect("the beginning of an id");
        let all = find(&client, FindConversations { id: Some(id), ..FindConversations::default() }).await;
        assert_eq!(ids(&all), found, "{beginning}");
    }
    // Made one after the other, they begin with the same digits.
    let id: IdBeginning = text.get(..2).expect("a part of an id").parse().expect("the beginning of an id");
    assert_eq!(
        find(&client, FindConversations { id: Some(id), ..FindConversations::default() }).await.len(),
        3
    );
    let user_id = Some(client.user_id);
    let mine = FindConversations { user_id, ..FindConversations::default() };
    assert_eq!(ids(&find(&client, mine).await), [&other, &pods].map(|found| found.conversation_id));
    let about_pods = find(&client, topic("pods")).await;
    assert_eq!(ids(&about_pods), [&theirs, &pods].map(|found| found.conversation_id));
    assert_eq!(
        ids(&find(&client, FindConversations { user_id, ..topic("Pods") }).await),
        [pods.conversation_id]
    );
    // What has a meaning in a pattern has none here.
    for (part, count) in [("100 %_\\", 1), ("%", 1), ("_", 1), ("\\", 1), ("p_ds", 0), ("p%s", 0), ("", 2)] {
        assert_eq!(find(&client, topic(part)).await.len(), count, "{part:?}");
    }
    let too_long = lcs_domain::Text::prompt("x".repeat(100_000), "").expect("a prompt");
    let too_long = FindConversations { topic: Some(too_long), ..FindConversations::default() };
    let refused = client.store.browse().find_conversations(too_long).await;
    assert!(matches!(refused, Err(RepositoryError::TooLarge { .. })), "{refused:?}");
}

/// One is read whole, whosever it is and after its deletion too; looking at it is no activity.
pub async fn a_conversation_is_read_whatever_its_status(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let operator = client.somebody_else();
    let conversation = client.begin().await;
    let said = turn(lcs_domain::TurnId::generate(), "with a state");
    client
        .append(with_state(append(&conversation, said), &conversation, "\"a state\"", 0))
        .await
        .expect("it is appended");
    for number in 2..=5 {
        client.say(&conversation, &format!("turn {number}")).await;
    }
    let (as_it_is, state) = (client.get(&conversation).await, client.state(&conversation).await);
    let turns = client.turns(&conversation).await;
    let id = conversation.conversation_id;
    let browse = operator.store.browse();
    let opened = browse.open_conversation(id).await.expect("it is opened").expect("it is there");
    assert_eq!((Some(opened.conversation), opened.agent_state), (as_it_is.clone(), state.clone()));
    assert!(client.delete(&conversation).await);
    let opened = browse.open_conversation(id).await.expect("it is opened").expect("it is there");
    assert_eq!(opened.agent_state, state);
    assert_eq!(opened.conversation.status, ConversationStatus::Deleted);
    for (range, numbers) in [
        (TurnRange::After(0), vec![1, 2]),
        (TurnRange::After(3), vec![4, 5]),
        (TurnRange::After(5), vec![]),
        (TurnRange::Before(4), vec![2, 3]),
        (TurnRange::Before(2), vec![1]),
        (TurnRange::Newest, vec![4, 5]),
    ] {
        let limit = PageLimit::new(2).expect("a page size");
        let page = browse.read_turns(id, range, limit).await.expect("turns are read").expect("it is there");
        assert_eq!(page.turn_count, 5);
        let shown: Vec<_> =
            turns.iter().filter(|turn| numbers.contains(&turn.turn_number)).cloned().collect();
        assert_eq!(page.turns, shown, "{range:?}");
    }
    let absent = ConversationId::generate();
    assert_eq!(browse.open_conversation(absent).await.expect("it is looked for"), None);
    let page = browse.read_turns(absent, TurnRange::Newest, PageLimit::MAX).await;
    assert_eq!(page.expect("it is looked for"), None);
}

/// Of a purged one is told when it was and why, and nothing else.
pub async fn what_is_left_of_a_purged_one_is_told(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    let id = conversation.conversation_id;
    let browse = client.store.browse();
    assert_eq!(browse.find_remains(id).await.expect("it is looked for"), None);
    assert!(client.delete(&conversation).await);
    assert_eq!(browse.find_remains(id).await.expect("it is looked for"), None);
    client.purge(policy()).await;
    let left = browse.find_remains(id).await.expect("it is looked for").expect("it is left");
    assert_eq!((left.conversation_id, left.reason.as_str()), (id, "deleted"));
    assert!(left.at >= conversation.created_at);
    assert_eq!(browse.open_conversation(id).await.expect("it is looked for"), None);
    // Its trail has what its user did, and the batch that removed it among others.
    let look = AuditQuery { conversation_id: Some(id), is_look: true, ..AuditQuery::default() };
    let trail = client.store.audit().records(look).await.expect("the log is read");
    let actions: Vec<_> = trail.iter().map(|record| record.action.as_str()).collect();
    assert_eq!(actions, ["conversation_deleted", "purge"]);
}

/// An operator deletes as the user does, once, and the log names him and the user.
pub async fn an_operators_delete_is_the_users_and_names_him(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let operator = client.at_another_handle(harness).await;
    let conversation = client.begin().await;
    client.say(&conversation, "to be deleted").await;
    let id = conversation.conversation_id;
    let calls = (0..4).map(|_| {
        let store = std::sync::Arc::clone(&operator.store);
        async move { store.browse().delete_conversation(id, Actor::operator("ada")).await }
    });
    let deleted: Vec<bool> =
        at_once(calls).await.into_iter().map(|deleted| deleted.expect("it is deleted")).collect();
    assert_eq!(deleted.iter().filter(|deleted| **deleted).count(), 1, "{deleted:?}");
    assert!(client.get(&conversation).await.is_none());
    assert_eq!(client.state(&conversation).await, None);
    let query = AuditQuery { action: Some(AuditAction::ConversationDeleted), ..AuditQuery::default() };
    let records = client.store.audit().records(query).await.expect("the log is read");
    let [record] = records.as_slice() else { panic!("one row: {records:?}") };
    assert_eq!((record.actor.as_str(), record.on_behalf_of), ("operator:ada", Some(client.user_id)));
    assert_eq!(record.conversation_id, Some(id));
    let absent =
        operator.store.browse().delete_conversation(ConversationId::generate(), Actor::operator("ada"));
    assert!(!absent.await.expect("it is looked for"));
    assert!(client.create(beginning()).await.is_ok());
    client.assert_sound().await;
}
