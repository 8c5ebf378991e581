//! Conversations that were held elsewhere are taken over with their turns: whole, once.

use chrono::{DateTime, TimeDelta};
use lcs_domain::metadata::Mark;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AgentId, Conversation, ConversationId, ConversationStatus, Entity, ListConversations, Metadata,
    NewConversation, NewTurn, RepositoryError, Text, Turn, TurnId,
};

use super::Harness;
use super::fixture::{
    Client, EXISTS, LONG_AGO, append, assert_refused, at_once, beginning, json, metadata, name, policy,
    saying, to_topic, turn, with_state,
};

const TURN_EXISTS: RepositoryError = RepositoryError::AlreadyExists { entity: Entity::Turn };

impl Client {
    async fn adopt(&self, new: NewConversation, turns: Vec<NewTurn>) -> RepositoryResult<Conversation> {
        self.store.conversations().adopt(self.user_id, new, turns).await
    }
}

fn said(texts: &[&str]) -> Vec<NewTurn> {
    texts.iter().map(|text| turn(TurnId::generate(), text)).collect()
}

fn turn_ids(turns: &[Turn]) -> Vec<TurnId> {
    turns.iter().map(|turn| turn.turn_id).collect()
}

/// What is adopted is read back, each turn in its place, and goes on as any other conversation.
pub async fn what_is_adopted_is_read_back(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let new = NewConversation {
        system_prompt: Some(Text::prompt("be brief", "").expect("a prompt")),
        metadata: metadata(r#"{"from":"elsewhere"}"#),
        topic_summary: Some(Text::summary("old", "").expect("a topic")),
        external_id: Some(name("conv_0123")),
        ..beginning()
    };
    let at = DateTime::UNIX_EPOCH;
    let mut turns: Vec<NewTurn> = (0..250).map(|i| turn(TurnId::generate(), &format!("said {i}"))).collect();
    for (input, output) in [
        (r#"{"nul":"\u0000"}"#, Some("[1e300]")),
        ("null", Some("null")),
        (r#"{"nul":"\u0000"}"#, None),
        ("1", Some(r#"{"a":"\u0000"}"#)),
    ] {
        let noted = metadata(r#"{"model":"m"}"#);
        let (input, output) = (json(input), output.map(json));
        let turn = NewTurn::new(TurnId::generate(), input, output, at, at + TimeDelta::days(1), noted);
        turns.push(turn.expect("a turn").marked(Mark::Interrupted).expect("a mark"));
    }
    let adopted = client.adopt(new.clone(), turns.clone()).await.expect("a conversation is adopted");
    let expected = Conversation {
        conversation_id: new.conversation_id,
        user_id: client.user_id,
        agent_id: new.agent_id,
        model_id: new.model_id,
        system_prompt: new.system_prompt,
        created_at: adopted.created_at,
        updated_at: adopted.updated_at,
        status: ConversationStatus::Active,
        metadata: new.metadata,
        turn_count: 254,
        state_revision: 0,
        topic_summary: new.topic_summary,
        external_id: new.external_id,
        durability: harness.durability(),
    };
    assert_eq!(adopted, expected);
    let other = client.at_another_handle(harness).await;
    assert_eq!(other.get(&adopted).await, Some(expected));
    let found = other.turns(&adopted).await;
    for ((found, turn), number) in found.iter().zip(&turns).zip(1..) {
        let expected = Turn {
            turn_id: turn.turn_id(),
            conversation_id: adopted.conversation_id,
            turn_number: number,
            input_messages: turn.input_messages().clone(),
            output_message: turn.output_message().cloned(),
            started_at: turn.started_at(),
            completed_at: turn.completed_at(),
            metadata: found.metadata.clone(),
        };
        assert_eq!(*found, expected);
        assert_eq!(found.metadata.caller_json().ok(), turn.metadata().caller_json().ok());
        assert_eq!(found.is_interrupted(), turn.metadata().has_mark(Mark::Interrupted));
    }
    assert_eq!(found.len(), 254);
    assert_eq!(client.state(&adopted).await, None);

    let replayed = client.append(append(&adopted, turns.remove(3))).await.expect("an adopted turn again");
    assert_eq!((replayed.turn_number, replayed.replayed), (Some(4), true));
    let next = with_state(saying(&adopted, "next"), &adopted, "1", 0);
    let next = client.append(next).await.expect("the next turn");
    assert_eq!((next.turn_number, next.state_revision, next.replayed), (Some(255), 1, false));

    let empty = client.adopt(beginning(), Vec::new()).await.expect("one without turns");
    assert_eq!((empty.turn_count, client.turns(&empty).await), (0, Vec::new()));
    client.assert_sound().await;
}

/// What the user has already is given back as it is, whatever is sent.
pub async fn what_is_there_is_given_back_as_it_is(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let new = beginning();
    let turns = said(&["one", "two"]);
    let adopted = client.adopt(new.clone(), turns.clone()).await.expect("a conversation is adopted");
    let kept = client.turns(&adopted).await;
    client.update(&adopted, to_topic("t")).await.expect("an update");
    let now = client.archive(&adopted).await;
    let others = [
        (new.clone(), turns.clone()),
        (new.clone(), said(&["one", "two", "three"])),
        (NewConversation { agent_id: AgentId::generate(), metadata: Metadata::default(), ..new }, Vec::new()),
    ];
    for (new, turns) in others {
        assert_eq!(client.adopt(new, turns).await.expect("it is given back"), now);
    }
    assert_eq!(client.turns(&adopted).await, kept);
    // One that was begun here, too.
    let begun = client.begin().await;
    let again = NewConversation { conversation_id: begun.conversation_id, ..beginning() };
    assert_eq!(client.adopt(again, said(&["x"])).await.expect("it is given back"), begun);
    assert_eq!(client.turns(&begun).await, []);
    client.assert_sound().await;
}

/// Of several who adopt one conversation at once, each with what it has read, one does, whole; all get it.
pub async fn p1_of_many_who_adopt_at_once_one_does_and_all_get_it(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    for round in 0..10 {
        let conversation_id = ConversationId::generate();
        let external_id = Some(name(&format!("conv_{round}")));
        let shared = said(&["one", "two"]);
        let attempts: Vec<_> = (0..6)
            .map(|i| {
                let new =
                    NewConversation { conversation_id, external_id: external_id.clone(), ..beginning() };
                // Half of them name the turns alike, the others each in their own way.
                (new, if i < 3 { shared.clone() } else { said(&["one", "two"]) })
            })
            .collect();
        let answers = at_once(attempts.iter().cloned().zip(0..).map(|((new, turns), i)| {
            let client = if i % 2 == 0 { client.clone() } else { other.clone() };
            async move { client.adopt(new, turns).await }
        }))
        .await;
        let answers: Vec<_> = answers.into_iter().map(|answer| answer.expect("each gets it")).collect();
        let found = client.get(&answers[0]).await.expect("it is there");
        assert!(answers.iter().all(|answer| *answer == found), "round {round}: {answers:?}");
        let winner = attempts.iter().find(|(new, _)| new.agent_id == found.agent_id);
        let (_, turns) = winner.expect("one of them made it");
        let expected: Vec<_> = turns.iter().map(NewTurn::turn_id).collect();
        assert_eq!(
            turn_ids(&client.turns(&found).await),
            expected,
            "round {round}: the winner's turns, whole"
        );
    }
    assert_eq!(client.list(ListConversations::default()).await.len(), 10, "one for each");
    client.assert_sound().await;
}

/// What was deleted or purged is not adopted, by nobody; nor what another user has.
pub async fn p6_what_was_deleted_is_not_adopted(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let somebody = client.somebody_else();
    let named = || NewConversation { external_id: Some(name("conv_0123")), ..beginning() };
    let new = named();
    let living = client.adopt(new.clone(), said(&["one"])).await.expect("a conversation is adopted");
    let fresh = |new: &NewConversation| NewConversation {
        conversation_id: new.conversation_id,
        external_id: None,
        ..beginning()
    };
    assert_refused(somebody.adopt(new.clone(), said(&["x"])).await, &EXISTS, "another user's");
    assert_refused(somebody.adopt(fresh(&new), Vec::new()).await, &EXISTS, "another user's id");
    assert_refused(client.adopt(named(), Vec::new()).await, &EXISTS, "the external id of another one");
    let agent = NewConversation { agent_id: new.agent_id, ..beginning() };
    assert_refused(client.adopt(agent, Vec::new()).await, &EXISTS, "the agent of another one");
    assert_eq!(client.get(&living).await.as_ref(), Some(&living), "it is as it was");

    let refused_for_all = async |what: &str| {
        for client in [&client, &somebody, &client.at_another_handle(harness).await] {
            for new in [new.clone(), fresh(&new)] {
                assert_refused(client.adopt(new, said(&["one"])).await, &EXISTS, what);
            }
        }
        assert_eq!(client.get(&living).await, None, "{what}: it stays away");
    };
    assert!(client.delete(&living).await);
    refused_for_all("deleted").await;
    assert_eq!(client.purge(policy()).await.len(), 1);
    refused_for_all("purged").await;

    let expired = client.adopt(named(), said(&["one"])).await.expect("the external id is free");
    harness.age(expired.conversation_id, LONG_AGO).await;
    assert_eq!(client.purge(policy()).await.len(), 1);
    let again = NewConversation { conversation_id: expired.conversation_id, ..named() };
    assert_refused(client.adopt(again, Vec::new()).await, &EXISTS, "expired");
    client.assert_sound().await;
}

/// A conversation is adopted whole or not at all: a turn that cannot be stored leaves nothing behind.
pub async fn a_conversation_is_adopted_whole_or_not_at_all(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let there = client.begin().await;
    let taken = turn(TurnId::generate(), "there");
    client.append(append(&there, taken.clone())).await.expect("a turn is appended");
    let mut turns = said(&["one", "two"]);
    let new = beginning();
    turns.push(taken);
    for client in [&client, &client.somebody_else()] {
        let answer = client.adopt(new.clone(), turns.clone()).await;
        assert_refused(answer, &TURN_EXISTS, "a turn of another conversation");
    }
    turns.pop();
    turns.push(turns[0].clone());
    let repeated = client.adopt(new.clone(), turns.clone()).await;
    assert!(
        matches!(&repeated, Err(RepositoryError::Invalid { pointer, .. }) if pointer == "/turns/2/turn_id"),
        "{repeated:?}"
    );
    let wrong = NewConversation { model_id: Text::prompt("", "").expect("a prompt"), ..new.clone() };
    let wrong = client.adopt(wrong, said(&["one"])).await;
    assert!(matches!(&wrong, Err(RepositoryError::Invalid { .. })), "a prompt for a name: {wrong:?}");
    assert_eq!(client.list(ListConversations::default()).await.len(), 1, "nothing was left behind");
    turns.pop();
    let adopted = client.adopt(new, turns).await.expect("and nothing is in the way");
    assert_eq!(client.turns(&adopted).await.len(), 2);
    client.assert_sound().await;
}
