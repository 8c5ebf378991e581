//! P1: an acknowledged turn is stored exactly once, whatever is sent again.

use chrono::{DateTime, TimeDelta};
use lcs_domain::conversation::OpenStatus;
use lcs_domain::metadata::Mark;
use lcs_domain::{AgentId, AppendTurn, Appended, Metadata, NewTurn, RepositoryError, TurnId};

use super::Harness;
use super::fixture::{
    Client, append, assert_refused, at_once, is, json, metadata, saying, stale_count, to_status, turn,
    with_state,
};

const ROUNDS: usize = 10;

/// The same turn five times at once, from two handles: stored once, acknowledged five times.
pub async fn the_same_turn_five_times_at_once_is_one_turn(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    for round in 0..ROUNDS {
        let conversation = client.begin().await;
        client.say(&conversation, "before").await;
        let mut command = saying(&conversation, "five times");
        if round % 2 == 1 {
            command.expected_turn_count = Some(1);
            command = with_state(command, &conversation, "1", 0);
        }
        let revision = u64::from(command.agent_state.is_some());
        let answers = at_once((0..5).map(|i| {
            let client = if i % 2 == 0 { client.clone() } else { other.clone() };
            let command = command.clone();
            async move { client.append(command).await }
        }))
        .await;
        let answers: Vec<Appended> =
            answers.into_iter().map(|answer| answer.expect("each of five is acknowledged")).collect();
        let new = answers.iter().filter(|answer| !answer.replayed).count();
        assert_eq!(new, 1, "one of five is new: {answers:?}");
        for answer in &answers {
            assert_eq!((answer.turn_number, answer.state_revision), (Some(2), revision), "{answers:?}");
        }
        assert_eq!(client.turns(&conversation).await.len(), 2, "stored once");
        let head = client.head(&conversation).await.expect("a head");
        assert_eq!((head.turn_count, head.state_revision), (2, revision), "counted once");
    }
}

/// One turn id with five contents at once: one content is stored, the others are refused.
pub async fn one_turn_id_with_five_contents_at_once_is_one_turn(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    for round in 0..ROUNDS {
        let conversation = client.begin().await;
        let turn_id = TurnId::generate();
        let mismatch = RepositoryError::IdempotencyMismatch { turn_id };
        let answers = at_once((0..5).map(|i| {
            let client = client.clone();
            let mut command = append(&conversation, turn(turn_id, &format!("content {i}")));
            // Known by its id, a turn is told before a stale count is.
            command.expected_turn_count = (round % 2 == 1).then_some(0);
            async move { client.append(command).await }
        }))
        .await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1, "one content is stored: {won:?}");
        for answer in lost {
            assert_refused(answer, &mismatch, "the other contents");
        }
        assert_eq!(client.turns(&conversation).await.len(), 1);
    }
}

/// A turn sent again is answered with its place, whatever else has changed or the command says.
pub async fn a_replay_is_answered_whatever_else_it_says(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    let mut first = with_state(saying(&conversation, "one"), &conversation, r#"{"n":1}"#, 0);
    first.expected_turn_count = Some(0);
    client.append(first.clone()).await.expect("the first turn");
    let second = with_state(saying(&conversation, "two"), &conversation, r#"{"n":2}"#, 1);
    client.append(second).await.expect("the second turn");
    let before = (client.get(&conversation).await, client.state(&conversation).await);

    let mut other_agent = first.clone();
    if let Some(update) = &mut other_agent.agent_state {
        update.agent_id = AgentId::generate();
    }
    let replays = [
        ("as it was", first.clone()),
        ("without a count", AppendTurn { expected_turn_count: None, ..first.clone() }),
        ("with an impossible count", AppendTurn { expected_turn_count: Some(u32::MAX), ..first.clone() }),
        ("without its state", AppendTurn { agent_state: None, ..first.clone() }),
        ("with a revision of the future", with_state(first.clone(), &conversation, "9", u64::MAX)),
        ("with another state of the right revision", with_state(first.clone(), &conversation, "9", 2)),
        ("with another agent", other_agent),
    ];
    let expected = Appended {
        turn_number: Some(1),
        state_revision: 2,
        replayed: true,
        durability: harness.durability(),
    };
    for archived in [false, true] {
        for (what, replay) in &replays {
            let answer = client.append(replay.clone()).await;
            let answer = answer.unwrap_or_else(|error| panic!("{what}: expected a replay, got {error:?}"));
            assert_eq!(answer, expected, "{what}");
        }
        let after = (client.get(&conversation).await, client.state(&conversation).await);
        if archived {
            break;
        }
        assert_eq!(after, before, "a replay writes nothing");
        client.archive(&conversation).await;
    }
    client.update(&conversation, to_status(OpenStatus::Active)).await.expect("active again");
    assert_eq!(client.turns(&conversation).await.len(), 2, "nothing was stored twice");
}

/// The same content however it is written, at other times, marked or not, is the same turn; the first
/// is the one that is kept.
pub async fn the_same_content_is_the_same_turn(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    let turn_id = TurnId::generate();
    let at = DateTime::UNIX_EPOCH;
    let new = |input: &str, output: Option<&str>, metadata: Metadata, at| {
        NewTurn::new(turn_id, json(input), output.map(json), at, at, metadata).expect("a turn")
    };
    let noted = || metadata(r#"{"a":1,"b":2}"#);
    let first = new(r#"{"a":1,"b":[1e2]}"#, Some("1.5"), noted(), at);
    client.append(append(&conversation, first.clone())).await.expect("the first");
    let kept = client.turns(&conversation).await;

    let later = at + TimeDelta::days(1);
    let same = [
        new(r#"{ "b": [100.0], "a": 1.0 }"#, Some("15e-1"), metadata(r#"{"b":2.0,"a":1}"#), later),
        first.marked(Mark::Interleaved).expect("a mark"),
    ];
    for turn in same {
        let answer = client.append(append(&conversation, turn)).await.expect("the same turn");
        assert!(answer.replayed, "the same turn is a replay");
    }
    let others = [
        ("another input", new(r#"{"a":1,"b":[101]}"#, Some("1.5"), noted(), at)),
        ("another output", new(r#"{"a":1,"b":[1e2]}"#, Some("1.6"), noted(), at)),
        ("no output", new(r#"{"a":1,"b":[1e2]}"#, None, noted(), at)),
        ("null for output", new(r#"{"a":1,"b":[1e2]}"#, Some("null"), noted(), at)),
        ("other metadata", new(r#"{"a":1,"b":[1e2]}"#, Some("1.5"), metadata("{}"), at)),
    ];
    for (what, turn) in others {
        let mismatch = RepositoryError::IdempotencyMismatch { turn_id };
        assert_refused(client.append(append(&conversation, turn)).await, &mismatch, what);
    }
    assert_eq!(client.turns(&conversation).await, kept, "the first is the one that is kept");
}

/// A turn of one conversation is not a turn of another: not of the same user, not of another one.
pub async fn a_turn_belongs_to_one_conversation(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let somebody = client.somebody_else();
    let said = turn(TurnId::generate(), "here");
    let mismatch = RepositoryError::IdempotencyMismatch { turn_id: said.turn_id() };
    let here = client.begin().await;
    client.append(append(&here, said.clone())).await.expect("a turn");
    for client in [&client, &somebody] {
        let there = client.begin().await;
        let command = append(&there, said.clone());
        assert_refused(client.append(command.clone()).await, &mismatch, "the turn's id elsewhere");
        let command = with_state(command, &there, "1", 0);
        assert_refused(client.append(command).await, &mismatch, "the turn's id elsewhere, with a state");
        assert_eq!(client.turns(&there).await, []);
        let head = client.head(&there).await.expect("a head");
        assert_eq!((head.turn_count, head.state_revision), (0, 0), "neither turn nor state is stored");
        assert_eq!(client.say(&there, "its own").await.turn_number, Some(1), "no number is lost");
    }
}

/// One turn id sent to several conversations at once is stored in one of them.
pub async fn a_turn_sent_to_several_conversations_at_once_is_one_turn(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    for _ in 0..ROUNDS {
        let sent = turn(TurnId::generate(), "one of them");
        let mismatch = RepositoryError::IdempotencyMismatch { turn_id: sent.turn_id() };
        let mut conversations = Vec::new();
        for _ in 0..4 {
            conversations.push(client.begin().await);
        }
        let answers = at_once(conversations.iter().zip(0..).map(|(conversation, i)| {
            let client = if i % 2 == 0 { client.clone() } else { other.clone() };
            let command = with_state(append(conversation, sent.clone()), conversation, "1", 0);
            async move { client.append(command).await }
        }))
        .await;
        let won = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(won, 1, "stored in one of them: {answers:?}");
        for (answer, conversation) in answers.iter().zip(&conversations) {
            let count = u32::from(answer.is_ok());
            assert!(answer.as_ref().err().is_none_or(|error| is(error, &mismatch)), "{answers:?}");
            let head = client.head(conversation).await.expect("a head");
            assert_eq!((head.turn_count, head.state_revision), (count, count.into()), "{answer:?}");
            assert_eq!(client.turns(conversation).await.len(), count as usize, "{answer:?}");
        }
    }
}

/// A refused append leaves its turn id free: sent again as it should be, it is stored.
pub async fn a_refused_turn_can_be_sent_again(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    client.say(&conversation, "one").await;
    let mut command = saying(&conversation, "two");
    command.expected_turn_count = Some(0);
    assert_refused(client.append(command.clone()).await, &stale_count(0, 1), "a stale count");
    command.expected_turn_count = Some(1);
    let appended = client.append(command).await.expect("the same turn with the right count");
    assert_eq!((appended.turn_number, appended.replayed), (Some(2), false));
}
