//! Turns: what an append keeps, what it refuses, and in which order it decides.

use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use lcs_domain::conversation::OpenStatus;
use lcs_domain::metadata::Mark;
use lcs_domain::{Appended, NewTurn, RepositoryError, Turn, TurnId, TurnRange};

use super::Harness;
use super::fixture::{
    CLOSED, Client, LONG_AGO, NO_CONVERSATION, NO_STATE, append, assert_refused, json, metadata, saying,
    stale_count, stale_revision, to_status, turn, with_state,
};

/// A turn with something in each of its fields.
fn everything() -> NewTurn {
    let began = Utc.timestamp_micros(1_795_333_153_126_201).single().expect("a time");
    NewTurn::new(
        TurnId::generate(),
        json(r#"[{"role":"user","content":"h\u00e9 \ud83d\ude00"}]"#),
        Some(json(r#"{"role":"assistant","content":null}"#)),
        began,
        began + TimeDelta::microseconds(1),
        metadata(r#"{"trace":"x"}"#),
    )
    .expect("a turn")
}

fn as_stored(turn: &NewTurn, conversation: &lcs_domain::Conversation, turn_number: u32) -> Turn {
    Turn {
        turn_id: turn.turn_id(),
        conversation_id: conversation.conversation_id,
        turn_number,
        input_messages: turn.input_messages().clone(),
        output_message: turn.output_message().cloned(),
        started_at: turn.started_at(),
        completed_at: turn.completed_at(),
        metadata: turn.metadata().clone(),
    }
}

/// What is appended is read back with every field as it was given.
pub async fn what_is_appended_is_read_back(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    let turns = [
        everything(),
        turn(TurnId::generate(), "no output"),
        everything().marked(Mark::Interleaved).expect("a mark"),
    ];
    for (turn, number) in turns.iter().zip(1..) {
        let appended = client.append(append(&conversation, turn.clone())).await.expect("a turn is appended");
        let expected = Appended {
            turn_number: Some(number),
            state_revision: 0,
            replayed: false,
            durability: harness.durability(),
        };
        assert_eq!(appended, expected, "the answer to append {number}");
    }
    let elsewhere = client.at_another_handle(harness).await;
    let page = elsewhere.page(&conversation, TurnRange::After(0), 10).await.expect("a page");
    let expected: Vec<Turn> =
        turns.iter().zip(1..).map(|(turn, number)| as_stored(turn, &conversation, number)).collect();
    assert_eq!(page.turns, expected, "what another handle reads");
    assert_eq!((page.turn_count, page.durability), (3, harness.durability()));
    let marked: Vec<bool> = page.turns.iter().map(Turn::is_interleaved).collect();
    assert_eq!(marked, [false, false, true], "marks are kept");
}

/// A turn is found by its id, as a page shows it: in its own conversation and in no other.
pub async fn a_turn_is_found_by_its_id(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let (conversation, other) = (client.begin().await, client.begin().await);
    let elsewhere = client.at_another_handle(harness).await;
    let turn_id = TurnId::generate();
    assert_eq!(client.turn(&conversation, turn_id).await, None, "before it is stored");
    let turns = [everything(), turn(turn_id, "wanted"), everything()];
    for turn in &turns {
        client.append(append(&conversation, turn.clone())).await.expect("a turn is appended");
    }
    for (turn, number) in turns.iter().zip(1..) {
        let found = elsewhere.turn(&conversation, turn.turn_id()).await;
        assert_eq!(found, Some(as_stored(turn, &conversation, number)), "turn {number}");
    }
    assert_eq!(client.turn(&other, turn_id).await, None, "by another conversation");
    assert_eq!(client.turn(&conversation, TurnId::generate()).await, None, "by another id");
    let mut refused = saying(&conversation, "refused");
    refused.expected_turn_count = Some(9);
    let refused_id = refused.turn.turn_id();
    assert_refused(client.append(refused).await, &stale_count(9, 3), "a stale count");
    assert_eq!(client.turn(&conversation, refused_id).await, None, "a refused one");
    client.archive(&conversation).await;
    assert!(client.turn(&conversation, turn_id).await.is_some(), "in an archived conversation");
}

/// Times come back to the microsecond, in every year that is taken, in whatever order they stand.
pub async fn times_are_kept_to_the_microsecond(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    let day = |year: i32, micros: i64| {
        let midnight = Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0).single().expect("a day");
        midnight + TimeDelta::microseconds(micros)
    };
    let times: Vec<DateTime<Utc>> = vec![
        day(1, 0),
        day(1, 1),
        day(1582, 1),
        day(1900, 123_456),
        day(1969, 999_999),
        day(1970, 0) - TimeDelta::microseconds(1),
        day(1970, 1),
        day(2000, 0) - TimeDelta::microseconds(1),
        day(2038, 1_641_600_000_001),
        day(9999, 31_535_999_999_999),
    ];
    let mut said = Vec::new();
    for (began, ended) in times.iter().zip(times.iter().rev()) {
        let turn = NewTurn::new(TurnId::generate(), json("1"), None, *began, *ended, metadata("{}"))
            .expect("a turn");
        client.append(append(&conversation, turn.clone())).await.expect("a turn is appended");
        said.push((turn.started_at(), turn.completed_at()));
    }
    let read: Vec<_> = client.turns(&conversation).await;
    let read: Vec<_> = read.iter().map(|turn| (turn.started_at, turn.completed_at)).collect();
    assert_eq!(read, said);
}

/// What can stand in the way of an append, in the order in which a store must find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Obstacle {
    Deleted,
    OtherContent,
    Archived,
    OtherAgent,
    StaleCount,
    StaleRevision,
    ElsewhereStored,
}

const OBSTACLES: [Obstacle; 7] = [
    Obstacle::Deleted,
    Obstacle::OtherContent,
    Obstacle::Archived,
    Obstacle::OtherAgent,
    Obstacle::StaleCount,
    Obstacle::StaleRevision,
    Obstacle::ElsewhereStored,
];

/// Of all that is wrong with an append, in every combination, the first in the port's list is answered;
/// and nothing of a refused append stays.
pub async fn an_append_is_refused_for_the_first_reason(harness: &dyn Harness) {
    for combination in 1_u32..1 << OBSTACLES.len() {
        let obstacles: Vec<Obstacle> = OBSTACLES
            .into_iter()
            .zip(0..)
            .filter(|(_, bit)| combination >> bit & 1 == 1)
            .map(|o| o.0)
            .collect();
        // One id cannot be stored both here and elsewhere.
        if !(obstacles.contains(&Obstacle::OtherContent) && obstacles.contains(&Obstacle::ElsewhereStored)) {
            refuse(harness, &obstacles).await;
        }
    }
}

async fn refuse(harness: &dyn Harness, obstacles: &[Obstacle]) {
    let has = |obstacle| obstacles.contains(&obstacle);
    let client = Client::of(harness).await;
    let (conversation, other) = (client.begin().await, client.begin().await);
    let held = turn(TurnId::generate(), "held");
    let first = with_state(append(&conversation, held.clone()), &conversation, "1", 0);
    client.append(first).await.expect("the first turn");
    let elsewhere = turn(TurnId::generate(), "elsewhere");
    client.append(append(&other, elsewhere.clone())).await.expect("a turn elsewhere");

    let new = if has(Obstacle::OtherContent) {
        turn(held.turn_id(), "something else")
    } else if has(Obstacle::ElsewhereStored) {
        elsewhere
    } else {
        turn(TurnId::generate(), "new")
    };
    let turn_id = new.turn_id();
    let revision = if has(Obstacle::StaleRevision) { 7 } else { 1 };
    let mut command = with_state(append(&conversation, new), &conversation, "2", revision);
    command.expected_turn_count = Some(if has(Obstacle::StaleCount) { 9 } else { 1 });
    if has(Obstacle::OtherAgent)
        && let Some(update) = &mut command.agent_state
    {
        update.agent_id = other.agent_id;
    }
    if has(Obstacle::Archived) {
        client.archive(&conversation).await;
    }
    let before = (client.get(&conversation).await, client.state(&conversation).await);
    if has(Obstacle::Deleted) {
        client.delete(&conversation).await;
    }
    let expected = match obstacles.first().expect("an obstacle") {
        Obstacle::Deleted => NO_CONVERSATION,
        Obstacle::OtherContent | Obstacle::ElsewhereStored => {
            RepositoryError::IdempotencyMismatch { turn_id }
        }
        Obstacle::Archived => CLOSED,
        Obstacle::OtherAgent => NO_STATE,
        Obstacle::StaleCount => stale_count(9, 1),
        Obstacle::StaleRevision => stale_revision(7, 1),
    };
    assert_refused(client.append(command).await, &expected, &format!("{obstacles:?}"));
    if !has(Obstacle::Deleted) {
        let after = (client.get(&conversation).await, client.state(&conversation).await);
        assert_eq!(after, before, "{obstacles:?}: nothing of a refused append stays");
        let turns = client.turns(&conversation).await;
        assert_eq!(turns.len(), 1, "{obstacles:?}: no turn of a refused append stays");
    }
}

/// An archived conversation takes no turns, is read as before, and takes turns when it is active again.
pub async fn an_archived_conversation_is_read_only(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    client.say(&conversation, "one").await;
    client.archive(&conversation).await;
    let late = saying(&conversation, "late");
    assert_refused(client.append(late.clone()).await, &CLOSED, "a turn for an archived conversation");
    assert_eq!(client.turns(&conversation).await.len(), 1, "it is read as before");
    client.update(&conversation, to_status(OpenStatus::Active)).await.expect("active again");
    assert_eq!(client.append(late).await.expect("it takes turns again").turn_number, Some(2));
}

/// An append is activity: the conversation comes first in the list. A replay and a refusal are not.
pub async fn an_append_is_activity_and_a_replay_is_not(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    harness.age(conversation.conversation_id, LONG_AGO).await;
    let aged = client.get(&conversation).await.expect("the conversation").updated_at;
    let said = saying(&conversation, "one");
    client.append(said.clone()).await.expect("a turn is appended");
    let woken = client.get(&conversation).await.expect("the conversation").updated_at;
    assert!(woken - aged > TimeDelta::days(99), "an append is activity: {aged}, then {woken}");

    harness.age(conversation.conversation_id, LONG_AGO).await;
    let aged = client.get(&conversation).await;
    assert!(client.append(said).await.expect("a replay").replayed);
    assert_eq!(client.get(&conversation).await, aged, "a replay writes nothing");
    let mut stale = saying(&conversation, "stale");
    stale.expected_turn_count = Some(0);
    assert_refused(client.append(stale).await, &stale_count(0, 1), "a stale count");
    assert_eq!(client.get(&conversation).await, aged, "a refusal writes nothing");
}
