//! Conversations: made, read, changed, listed.

use lcs_domain::conversation::OpenStatus;
use lcs_domain::{
    AgentId, Conversation, ConversationId, ConversationStatus, ConversationUpdate, ListConversations,
    Metadata, NewConversation, Text,
};

use super::Harness;
use super::fixture::{
    Client, EXISTS, LONG_AGO, NO_CONVERSATION, assert_refused, at_once, beginning, metadata, name, to_status,
    to_topic,
};

/// A conversation with something in each of its fields.
fn everything() -> NewConversation {
    NewConversation {
        system_prompt: Some(Text::prompt("be \u{1f600} brief", "").expect("a prompt")),
        metadata: metadata(r#"{"ticket":"OLS-1","n":[1,2.5,null]}"#),
        topic_summary: Some(Text::summary("", "").expect("a topic")),
        external_id: Some(name("conv_0123")),
        ..beginning()
    }
}

/// What is made is answered, and read back, with every field as it was given.
pub async fn what_is_created_is_read_back(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    for new in [everything(), beginning()] {
        let made = client.create(new.clone()).await.expect("a new conversation is created");
        let expected = Conversation {
            conversation_id: new.conversation_id,
            user_id: client.user_id,
            agent_id: new.agent_id,
            model_id: new.model_id,
            system_prompt: new.system_prompt,
            created_at: made.created_at,
            updated_at: made.updated_at,
            status: ConversationStatus::Active,
            metadata: new.metadata,
            turn_count: 0,
            state_revision: 0,
            topic_summary: new.topic_summary,
            external_id: new.external_id,
            durability: harness.durability(),
        };
        assert_eq!(made, expected, "the answer to create");
        assert_eq!(made.created_at.timestamp_subsec_nanos() % 1_000, 0, "whole microseconds");
        let elsewhere = client.at_another_handle(harness).await;
        assert_eq!(elsewhere.get(&made).await, Some(made.clone()), "what another handle reads");
    }
}

/// The same command again is answered with the conversation as it has become meanwhile.
pub async fn create_again_answers_with_the_conversation_as_it_is(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let new = everything();
    let made = client.create(new.clone()).await.expect("a new conversation is created");
    client.say(&made, "hello").await;
    client.update(&made, to_topic("greetings")).await.expect("an update");
    let now = client.archive(&made).await;
    assert_eq!((now.turn_count, now.status), (1, ConversationStatus::Archived));
    let again = client.create(new.clone()).await.expect("the same command is answered again");
    assert_eq!(again, now, "as it is, not as it was");
    // What may change, or is only noted, does not make it another command.
    let noted = NewConversation { metadata: Metadata::default(), topic_summary: None, ..new };
    assert_eq!(client.create(noted).await.expect("the same command"), now);
}

/// An id that something else uses is refused, whoever uses it.
pub async fn create_with_an_id_in_use_is_refused(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let somebody = client.somebody_else();
    let new = everything();
    let made = client.create(new.clone()).await.expect("a new conversation is created");
    let others = [
        ("another agent", NewConversation { agent_id: AgentId::generate(), ..new.clone() }),
        ("another model", NewConversation { model_id: name("another"), ..new.clone() }),
        ("another prompt", NewConversation { system_prompt: None, ..new.clone() }),
        ("no external id", NewConversation { external_id: None, ..new.clone() }),
        ("another external id", NewConversation { external_id: Some(name("x")), ..new.clone() }),
        ("the agent's id only", NewConversation { agent_id: new.agent_id, ..beginning() }),
    ];
    for (what, other) in others {
        assert_refused(client.create(other.clone()).await, &EXISTS, what);
        assert_refused(somebody.create(other).await, &EXISTS, &format!("{what}, by another user"));
    }
    assert_refused(somebody.create(new).await, &EXISTS, "the same command by another user");
    assert_eq!(client.get(&made).await, Some(made), "the refused left no trace");
}

/// Sent five times at once, a command makes one conversation and five equal answers.
pub async fn the_same_create_at_once_makes_one_conversation(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    for _ in 0..10 {
        let new = everything_of_its_own();
        let answers = at_once((0..5).map(|i| {
            let (client, new) = (if i % 2 == 0 { client.clone() } else { other.clone() }, new.clone());
            async move { client.create(new).await }
        }))
        .await;
        for answer in answers {
            let made = answer.expect("the same command is answered five times");
            assert_eq!(Some(&made), client.get(&made).await.as_ref(), "each answer is the conversation");
        }
    }
    assert_eq!(client.list(ListConversations::default()).await.len(), 10, "one for each command");
}

fn everything_of_its_own() -> NewConversation {
    let external_id = Some(name(&ConversationId::generate().to_string()));
    NewConversation { external_id, ..everything() }
}

/// Of five commands that want one id at once, one gets it.
pub async fn create_at_once_with_one_id_makes_one_conversation(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    for round in 0..12 {
        let shared = everything_of_its_own();
        let answers = at_once((0..5).map(|i| {
            let client = client.clone();
            let new = match round % 3 {
                0 => NewConversation { model_id: name(&format!("model {i}")), ..shared.clone() },
                1 => NewConversation { conversation_id: ConversationId::generate(), ..shared.clone() },
                _ => NewConversation { external_id: shared.external_id.clone(), ..beginning() },
            };
            async move { client.create(new).await }
        }))
        .await;
        let won = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(won, 1, "one of five gets the id: {answers:?}");
        for answer in answers.into_iter().filter(Result::is_err) {
            assert_refused(answer, &EXISTS, "the other four");
        }
    }
}

/// A user has one conversation of an external id; another user may have one too.
pub async fn an_external_id_is_unique_for_its_user_only(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let named = || NewConversation { external_id: Some(name("conv_0123")), ..beginning() };
    client.create(named()).await.expect("the first of this external id");
    assert_refused(client.create(named()).await, &EXISTS, "the second of this external id");
    client.somebody_else().create(named()).await.expect("another user's of this external id");
    for _ in 0..2 {
        client.create(beginning()).await.expect("any number without one");
    }
}

/// What an update is expected to make of a conversation.
type Change<'a> = &'a dyn Fn(&mut Conversation);

/// An update changes what it says, nothing else, and answers with the result.
pub async fn an_update_changes_what_it_says(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let made = client.create(everything()).await.expect("a new conversation is created");
    let topic = |topic| ConversationUpdate { topic_summary: Some(topic), ..ConversationUpdate::default() };
    let noted = metadata(r#"{"other":{"a":[]}}"#);
    let mut expected = made.clone();
    let steps: [(ConversationUpdate, Change); 6] = [
        (topic(None), &|now| now.topic_summary = None),
        (topic(Some(Text::from_stored("t".into()))), &|now| {
            now.topic_summary = Some(Text::from_stored("t".into()));
        }),
        (to_status(OpenStatus::Archived), &|now| now.status = ConversationStatus::Archived),
        (ConversationUpdate { metadata: Some(noted.clone()), ..ConversationUpdate::default() }, &|now| {
            now.metadata = noted.clone();
        }),
        (to_status(OpenStatus::Active), &|now| now.status = ConversationStatus::Active),
        (
            ConversationUpdate {
                topic_summary: Some(None),
                status: Some(OpenStatus::Archived),
                metadata: Some(Metadata::default()),
                expected_updated_at: None,
            },
            &|now| {
                now.topic_summary = None;
                now.status = ConversationStatus::Archived;
                now.metadata = Metadata::default();
            },
        ),
    ];
    for (update, change) in steps {
        let what = format!("{update:?}");
        let now = client.update(&made, update).await.expect("an update");
        change(&mut expected);
        assert!(now.updated_at >= expected.updated_at, "time does not run backwards: {what}");
        expected.updated_at = now.updated_at;
        assert_eq!(now, expected, "the answer to {what}");
        assert_eq!(client.get(&made).await, Some(now), "what is read after {what}");
    }
}

/// An empty update changes nothing, the time of the last change included.
pub async fn an_empty_update_changes_nothing(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let made = client.create(everything()).await.expect("a new conversation is created");
    harness.age(made.conversation_id, LONG_AGO).await;
    let before = client.get(&made).await.expect("the conversation");
    let after = client.update(&made, ConversationUpdate::default()).await.expect("an empty update");
    assert_eq!(after, before);
    assert_eq!(client.get(&made).await, Some(before));
}

/// What is not there cannot be changed, whatever the update says.
pub async fn an_update_of_nothing_is_refused(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let unmade = client.begin().await;
    let unmade = Conversation { conversation_id: ConversationId::generate(), ..unmade };
    for update in [ConversationUpdate::default(), to_topic("t"), to_status(OpenStatus::Active)] {
        let what = format!("{update:?} of an absent conversation");
        assert_refused(client.update(&unmade, update).await, &NO_CONVERSATION, &what);
    }
    assert!(!client.delete(&unmade).await, "nothing to delete");
    assert_eq!((client.get(&unmade).await, client.head(&unmade).await), (None, None));
}

/// Updates of different fields at once are all kept: an update writes only what it says.
pub async fn updates_of_different_fields_at_once_are_kept(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    for _ in 0..10 {
        let made = client.begin().await;
        let noted = metadata(r#"{"a":1}"#);
        let updates = [
            to_topic("t"),
            to_status(OpenStatus::Archived),
            ConversationUpdate { metadata: Some(noted.clone()), ..ConversationUpdate::default() },
        ];
        let answers = at_once(updates.map(|update| {
            let (client, made) = (client.clone(), made.clone());
            async move { client.update(&made, update).await }
        }))
        .await;
        assert!(answers.iter().all(Result::is_ok), "three updates: {answers:?}");
        let now = client.get(&made).await.expect("the conversation");
        let topic = now.topic_summary.as_deref();
        assert_eq!((topic, now.status, now.metadata), (Some("t"), ConversationStatus::Archived, noted));
    }
}

/// The head agrees with the conversation, whatever has been done to it.
pub async fn the_head_agrees_with_the_conversation(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let made = client.begin().await;
    for step in 0..5 {
        match step {
            0 => {}
            1 | 2 => drop(client.say(&made, "hello").await),
            3 => {
                let save = super::fixture::saving(&made, "1", 0);
                client.save(save).await.expect("a state is saved");
            }
            _ => drop(client.archive(&made).await),
        }
        let now = client.get(&made).await.expect("the conversation");
        let head = client.head(&made).await.expect("its head");
        assert_eq!(
            (head.turn_count, head.state_revision, head.status, head.durability),
            (now.turn_count, now.state_revision, now.status, harness.durability()),
            "after step {step}"
        );
    }
}

/// A list shows what is of the status that was asked for, and without one all but the deleted.
pub async fn a_list_is_of_one_status_or_of_all_but_the_deleted(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let (active, archived, deleted) = (client.begin().await, client.begin().await, client.begin().await);
    client.archive(&archived).await;
    client.delete(&deleted).await;
    client.somebody_else().begin().await;
    let ids = |status| {
        let client = client.clone();
        async move {
            let list = ListConversations { status, ..ListConversations::default() };
            let mut ids: Vec<_> = client.list(list).await.iter().map(|found| found.conversation_id).collect();
            ids.sort_unstable();
            ids
        }
    };
    let mut both = [active.conversation_id, archived.conversation_id];
    both.sort_unstable();
    assert_eq!(ids(None).await, both, "all but the deleted");
    assert_eq!(ids(Some(ConversationStatus::Active)).await, [active.conversation_id]);
    assert_eq!(ids(Some(ConversationStatus::Archived)).await, [archived.conversation_id]);
    assert_eq!(ids(Some(ConversationStatus::Deleted)).await, [], "the deleted are never listed");
}
