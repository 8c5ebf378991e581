//! Agent states: stored, read, deleted.

use chrono::TimeDelta;
use lcs_domain::{AgentId, AgentState, AgentStateUpdate, AppendTurn, SaveAgentState, Saved};

use super::Harness;
use super::fixture::{
    CLOSED, Client, LONG_AGO, NO_CONVERSATION, NO_STATE, assert_refused, json, saving, saying, stale_count,
    stale_revision,
};

/// Checks the state from both sides, and gives it.
async fn read(client: &Client, conversation: &lcs_domain::Conversation) -> AgentState {
    let by_conversation = client.state(conversation).await;
    let by_agent = client.store.agent_states().get(client.user_id, conversation.agent_id).await;
    assert_eq!(by_agent.expect("a state is looked up"), by_conversation, "by agent and by conversation");
    by_conversation.expect("a state")
}

/// What is saved is read back, and what is not said stays as it was.
pub async fn what_is_saved_is_read_back(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    let none = client.store.agent_states().get(client.user_id, conversation.agent_id).await;
    assert_eq!((none.expect("a look-up"), client.state(&conversation).await), (None, None));
    client.say(&conversation, "hello").await;
    client.say(&conversation, "again").await;

    let config = json(r#"{"tools":["a"],"temperature":0.5}"#);
    let steps = [
        // (config sent, state sent, config stored, turns seen)
        (None, None, json("{}"), 2),
        (Some(config.clone()), Some(json(r#"{"facts":{}}"#)), config.clone(), 1),
        (None, Some(json("[1]")), config.clone(), 2),
        (None, None, config, 0),
        (Some(json("null")), Some(json("null")), json("null"), 2),
    ];
    let mut created_at = None;
    for ((agent_config, current_state, stored_config, through_turn), revision) in steps.into_iter().zip(1..) {
        let save = SaveAgentState {
            agent_config,
            current_state: current_state.clone(),
            through_turn,
            ..saving(&conversation, "1", revision - 1)
        };
        let saved = client.save(save).await.expect("a state is saved");
        assert_eq!(saved, Saved { revision, durability: harness.durability() });
        let state = read(&client, &conversation).await;
        let expected = AgentState {
            agent_id: conversation.agent_id,
            conversation_id: conversation.conversation_id,
            user_id: client.user_id,
            agent_config: stored_config,
            current_state,
            created_at: created_at.unwrap_or(state.created_at),
            updated_at: state.updated_at,
            revision,
            through_turn,
            durability: harness.durability(),
        };
        assert_eq!(state, expected, "revision {revision}");
        assert!(state.updated_at >= state.created_at);
        created_at = Some(state.created_at);
    }
}

/// A state appended with a turn is stored with it, and knows through which turn it goes.
pub async fn a_state_goes_with_its_turn(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    let with = |agent_config: Option<&str>, state: &str, expected_revision| AppendTurn {
        agent_state: Some(AgentStateUpdate {
            agent_id: conversation.agent_id,
            agent_config: agent_config.map(json),
            current_state: json(state),
            expected_revision,
        }),
        ..saying(&conversation, "x")
    };
    let steps = [
        // (append, its turn, revision, through_turn, config, state)
        (with(None, "1", 0), 1, 1, 1, "{}", "1"),
        (saying(&conversation, "no state"), 2, 1, 1, "{}", "1"),
        (with(Some(r#"{"a":1}"#), "2", 1), 3, 2, 3, r#"{"a":1}"#, "2"),
        (with(None, "null", 2), 4, 3, 4, r#"{"a":1}"#, "null"),
    ];
    for (append, number, revision, through_turn, config, current) in steps {
        let appended = client.append(append).await.expect("a turn is appended");
        assert_eq!((appended.turn_number, appended.state_revision), (Some(number), revision));
        let state = read(&client, &conversation).await;
        assert_eq!((state.revision, state.through_turn), (revision, through_turn), "turn {number}");
        assert_eq!((state.agent_config, state.current_state), (json(config), Some(json(current))));
    }
}

/// A turn that is stored without a state between a host's read and its save is not covered by what was
/// saved: the agent is still to see it (P5).
pub async fn p5_a_save_covers_only_the_turns_that_it_has_seen(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    client.say(&conversation, "seen").await;
    let seen = client.head(&conversation).await.expect("a head").turn_count;
    client.say(&conversation, "not seen").await;
    let save = SaveAgentState { through_turn: seen, ..saving(&conversation, "1", 0) };
    client.save(save).await.expect("a state is saved");
    assert_eq!(read(&client, &conversation).await.through_turn, 1, "the second turn is still to be seen");

    let too_far = SaveAgentState { through_turn: 3, ..saving(&conversation, "2", 1) };
    assert_refused(client.save(too_far).await, &stale_count(3, 2), "a turn that there is not");
    let state = read(&client, &conversation).await;
    assert_eq!((state.revision, state.through_turn), (1, 1), "nothing of a refused save stays");
}

/// A save and the deletion of a state are activity.
pub async fn saving_and_deleting_are_activity(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    for step in 0..2 {
        harness.age(conversation.conversation_id, LONG_AGO).await;
        let aged = client.get(&conversation).await.expect("the conversation").updated_at;
        if step == 0 {
            client.save(saving(&conversation, "1", 0)).await.expect("a state is saved");
        } else {
            let deleted = client.store.agent_states().delete(client.user_id, conversation.agent_id).await;
            assert!(deleted.expect("a state is deleted"));
        }
        let woken = client.get(&conversation).await.expect("the conversation").updated_at;
        assert!(woken - aged > TimeDelta::days(99), "step {step}: {aged}, then {woken}");
    }
}

/// A state is deleted once, and the next one is made from nothing.
pub async fn a_state_is_deleted_once(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    let states = client.store.agent_states();
    let delete =
        || async { states.delete(client.user_id, conversation.agent_id).await.expect("a state is deleted") };
    assert!(!delete().await, "there is none yet");
    assert_eq!(client.head(&conversation).await.expect("a head").state_revision, 0);
    let save = SaveAgentState { agent_config: Some(json("[1]")), ..saving(&conversation, "1", 0) };
    client.save(save).await.expect("a state is saved");
    assert!(delete().await, "now there is one");
    assert!(!delete().await, "there is none any more");
    assert_eq!(client.state(&conversation).await, None);
    assert_eq!(client.head(&conversation).await.expect("a head").state_revision, 2);
    client.save(saving(&conversation, "2", 2)).await.expect("the next one");
    let state = read(&client, &conversation).await;
    assert_eq!(state.agent_config, json("{}"), "nothing of the deleted one is left");
    let unknown = states.delete(client.user_id, AgentId::generate()).await;
    assert!(!unknown.expect("nothing to delete"), "an agent that never was");
}

/// An archived conversation keeps its state readable.
pub async fn an_archived_conversation_keeps_its_state(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    client.save(saving(&conversation, "1", 0)).await.expect("a state is saved");
    client.archive(&conversation).await;
    assert_eq!(read(&client, &conversation).await.revision, 1);
    assert_refused(client.save(saving(&conversation, "2", 1)).await, &CLOSED, "an archived conversation");
    assert_eq!(read(&client, &conversation).await.revision, 1);
}

/// Of all that is wrong with a save, in every combination, the first in the port's list is answered.
pub async fn a_save_is_refused_for_the_first_reason(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    for combination in 1..32 {
        let [deleted, archived, other_agent, too_far, stale] =
            [1, 2, 4, 8, 16].map(|bit| combination & bit != 0);
        let (conversation, other) = (client.begin().await, client.begin().await);
        client.save(saving(&conversation, "1", 0)).await.expect("the first state");
        let mut save = saving(&conversation, "2", if stale { 7 } else { 1 });
        if other_agent {
            save.agent_id = other.agent_id;
        }
        if too_far {
            save.through_turn = 1;
        }
        if archived {
            client.archive(&conversation).await;
        }
        let before = client.state(&conversation).await;
        if deleted {
            client.delete(&conversation).await;
        }
        let expected = match (deleted, archived, other_agent, too_far) {
            (true, ..) => NO_CONVERSATION,
            (_, true, ..) => CLOSED,
            (_, _, true, _) => NO_STATE,
            (.., true) => stale_count(1, 0),
            _ => stale_revision(7, 1),
        };
        let what = format!(
            "deleted {deleted}, archived {archived}, agent {other_agent}, turns {too_far}, stale {stale}"
        );
        assert_refused(client.save(save).await, &expected, &what);
        if !deleted {
            assert_eq!(client.state(&conversation).await, before, "{what}: nothing has changed");
        }
        assert_eq!(client.state(&other).await, None, "{what}: nothing has changed elsewhere");
    }
}
