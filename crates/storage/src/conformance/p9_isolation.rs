//! P9: another user's conversation and an absent one are the same answer, in every operation.

use std::fmt::Debug;

use lcs_domain::conversation::OpenStatus;
use lcs_domain::{
    AgentId, AppendTurn, Conversation, ConversationCursor, ConversationId, ConversationUpdate,
    ListConversations, PageLimit, SaveAgentState, TurnRange,
};

use super::Harness;
use super::fixture::{
    Client, NO_STATE, append, assert_refused, saving, saying, to_status, to_topic, turn, with_state,
};

/// What every method answers about a conversation: (the method, its answer).
async fn answers(client: &Client, target: &Conversation, said: &AppendTurn) -> Vec<(&'static str, String)> {
    fn text(answer: impl Debug) -> String {
        format!("{answer:?}")
    }
    let (user_id, id, agent_id) = (client.user_id, target.conversation_id, target.agent_id);
    let conversations = client.store.conversations();
    let states = client.store.agent_states();
    let replay = AppendTurn { conversation_id: id, ..said.clone() };
    let other_content = append(target, turn(said.turn.turn_id(), "other content"));
    let mut stale = saying(target, "stale");
    stale.expected_turn_count = Some(9);
    let mut other_agent = with_state(saying(target, "other agent"), target, "1", 1);
    if let Some(update) = &mut other_agent.agent_state {
        update.agent_id = AgentId::generate();
    }
    let mut answers = vec![
        ("get", text(conversations.get(user_id, id).await)),
        ("head", text(conversations.head(user_id, id).await)),
        ("update", text(client.update(target, to_topic("mine now")).await)),
        ("update to active", text(client.update(target, to_status(OpenStatus::Active)).await)),
        ("update nothing", text(client.update(target, ConversationUpdate::default()).await)),
        ("append", text(client.append(saying(target, "let me in")).await)),
        ("append a replay", text(client.append(replay).await)),
        ("append other content", text(client.append(other_content).await)),
        ("append with a state", text(client.append(with_state(saying(target, "x"), target, "1", 1)).await)),
        ("append with a stale count", text(client.append(stale).await)),
        ("append with another agent", text(client.append(other_agent).await)),
        ("turn", text(client.turn(target, said.turn.turn_id()).await)),
        ("state by agent", text(states.get(user_id, agent_id).await)),
        ("state by conversation", text(states.get_by_conversation(user_id, id).await)),
        ("save", text(client.save(saving(target, "1", 1)).await)),
        ("save a stale one", text(client.save(saving(target, "1", 7)).await)),
        (
            "save too far",
            text(client.save(SaveAgentState { through_turn: 9, ..saving(target, "1", 1) }).await),
        ),
        ("delete the state", text(states.delete(user_id, agent_id).await)),
        ("delete", text(conversations.delete(user_id, id).await)),
    ];
    for range in [TurnRange::After(0), TurnRange::Before(2), TurnRange::Newest] {
        let page = client.store.turns().page(user_id, id, range, PageLimit::default()).await;
        answers.push(("page", text(page)));
    }
    answers
}

/// Every method of a user's ports answers about another's conversation as about one that never was:
/// active, archived or deleted. And its owner finds it as it was.
pub async fn a_foreign_conversation_is_an_absent_one(harness: &dyn Harness) {
    let owner = Client::of(harness).await;
    let stranger = owner.somebody_else();
    stranger.begin().await;
    for state in ["active", "archived", "deleted"] {
        let theirs = owner.begin().await;
        let said = with_state(saying(&theirs, "private"), &theirs, r#"{"private":1}"#, 0);
        owner.append(said.clone()).await.expect("a turn is appended");
        match state {
            "archived" => drop(owner.archive(&theirs).await),
            "deleted" => drop(owner.delete(&theirs).await),
            _ => {}
        }
        let before = (owner.get(&theirs).await, owner.state(&theirs).await);
        let absent = Conversation {
            conversation_id: ConversationId::generate(),
            agent_id: AgentId::generate(),
            ..theirs.clone()
        };
        let about_foreign = answers(&stranger, &theirs, &said).await;
        let about_absent = answers(&stranger, &absent, &said).await;
        for ((method, foreign), (_, absent)) in about_foreign.iter().zip(&about_absent) {
            assert_eq!(foreign, absent, "{method} of another's {state} conversation, and of an absent one");
        }
        assert_eq!(
            (owner.get(&theirs).await, owner.state(&theirs).await),
            before,
            "{state}: it is as it was"
        );
        if state != "deleted" {
            assert_eq!(owner.turns(&theirs).await.len(), 1, "{state}: it is as it was");
        }
    }
}

/// A list shows its user's conversations, also from a cursor that another's list gave.
pub async fn a_list_shows_its_users_only(harness: &dyn Harness) {
    let owner = Client::of(harness).await;
    let stranger = owner.somebody_else();
    let mine = stranger.begin().await;
    let theirs = owner.begin().await;
    let listed = stranger.list(ListConversations::default()).await;
    assert_eq!(listed, std::slice::from_ref(&mine));
    let list = ListConversations {
        after: Some(ConversationCursor::behind(&theirs)),
        ..ListConversations::default()
    };
    assert_eq!(stranger.list(list).await, [mine], "behind another's");
    assert_eq!(owner.somebody_else().list(ListConversations::default()).await, [], "a user who has none");
}

/// Another user's agent cannot be spoken for in one's own conversation, and is not told from one that
/// never was.
pub async fn anothers_agent_is_an_absent_one(harness: &dyn Harness) {
    let owner = Client::of(harness).await;
    let stranger = owner.somebody_else();
    let theirs = owner.begin().await;
    let private = with_state(saying(&theirs, "private"), &theirs, "1", 0);
    owner.append(private).await.expect("a turn is appended");
    let mine = stranger.begin().await;
    let before = owner.state(&theirs).await;
    for agent_id in [theirs.agent_id, AgentId::generate()] {
        for revision in [0, 1] {
            let mut append = with_state(saying(&mine, "x"), &mine, "2", revision);
            if let Some(update) = &mut append.agent_state {
                update.agent_id = agent_id;
            }
            assert_refused(stranger.append(append).await, &NO_STATE, "an append with another's agent");
            let save = SaveAgentState { agent_id, ..saving(&mine, "2", revision) };
            assert_refused(stranger.save(save).await, &NO_STATE, "a save of another's agent");
        }
        let states = stranger.store.agent_states();
        assert_eq!(states.get(stranger.user_id, agent_id).await.expect("a look-up"), None);
        assert!(!states.delete(stranger.user_id, agent_id).await.expect("a delete"));
    }
    let head = stranger.head(&mine).await.expect("a head");
    assert_eq!((head.turn_count, head.state_revision), (0, 0), "nothing was stored");
    assert_eq!(owner.state(&theirs).await, before, "their agent's state is as it was");
    owner.say(&theirs, "still mine").await;
}
