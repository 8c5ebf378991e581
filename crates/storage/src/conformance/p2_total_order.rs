//! P2: turn numbers are 1..n without gaps, given by the store.

use std::collections::HashMap;

use lcs_domain::{Turn, TurnId};

use super::Harness;
use super::fixture::{Client, append, at_once, is, saying, stale_count, turn, with_state};

fn numbers(turns: &[Turn]) -> Vec<u32> {
    turns.iter().map(|turn| turn.turn_number).collect()
}

/// 1,000 appends to one conversation, 32 at a time, from two handles: gap-free, nothing lost, nothing twice.
pub async fn a_thousand_appends_at_once_are_numbered_without_gaps(harness: &dyn Harness) {
    const WORKERS: usize = 32;
    const TURNS: usize = 1_000;
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    let conversation = client.begin().await;
    let answers = at_once((0..WORKERS).map(|worker| {
        let client = if worker % 2 == 0 { client.clone() } else { other.clone() };
        let conversation = conversation.clone();
        async move {
            let mut answers: Vec<(TurnId, u32)> = Vec::new();
            for _ in (worker..TURNS).step_by(WORKERS) {
                let turn_id = TurnId::generate();
                let command = append(&conversation, turn(turn_id, &turn_id.to_string()));
                let appended = client.append(command).await.expect("a turn is appended");
                assert!(!appended.replayed, "a new turn is no replay");
                let number = appended.turn_number.expect("a turn number");
                if let Some((_, before)) = answers.last() {
                    assert!(number > *before, "what is sent later stands later: {before}, then {number}");
                }
                answers.push((turn_id, number));
            }
            answers
        }
    }))
    .await;
    let told: HashMap<TurnId, u32> = answers.into_iter().flatten().collect();
    let turns = client.turns(&conversation).await;
    assert_eq!(numbers(&turns), (1..=1_000).collect::<Vec<_>>(), "gap-free");
    let stored: HashMap<TurnId, u32> = turns.iter().map(|turn| (turn.turn_id, turn.turn_number)).collect();
    assert_eq!(stored, told, "each turn stands once, where its writer was told");
    assert_eq!(client.head(&conversation).await.expect("a head").turn_count, 1_000);
}

/// Of writers that expect the same count at once, one is right.
pub async fn an_expected_count_lets_one_writer_through(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    let conversation = client.begin().await;
    for count in 0..10_u32 {
        let answers = at_once((0..6).map(|i| {
            let client = if i % 2 == 0 { client.clone() } else { other.clone() };
            let mut command = saying(&conversation, &format!("{count} {i}"));
            command.expected_turn_count = Some(count);
            async move { client.append(command).await }
        }))
        .await;
        let won: Vec<_> = answers.iter().flatten().collect();
        assert_eq!(won.len(), 1, "one of six is right about {count}: {answers:?}");
        assert_eq!(won[0].turn_number, Some(count + 1));
        let stale = stale_count(count.into(), u64::from(count) + 1);
        for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            assert!(is(error, &stale), "the others learn the count: expected {stale:?}, got {error:?}");
        }
    }
    assert_eq!(numbers(&client.turns(&conversation).await), (1..=10).collect::<Vec<_>>());
}

/// Appends that are refused at the same time as others are stored take no number away.
pub async fn refused_appends_leave_no_gaps(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let (conversation, elsewhere) = (client.begin().await, client.begin().await);
    let theirs = turn(TurnId::generate(), "elsewhere");
    client.append(append(&elsewhere, theirs.clone())).await.expect("a turn elsewhere");
    let answers = at_once((0..40).map(|i| {
        let client = client.clone();
        let command = match i % 4 {
            0 => append(&conversation, theirs.clone()),
            1 => with_state(saying(&conversation, "stale"), &conversation, "1", 99),
            _ => saying(&conversation, "good"),
        };
        async move { client.append(command).await }
    }))
    .await;
    let stored = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(stored, 20, "half of them are good: {answers:?}");
    assert_eq!(numbers(&client.turns(&conversation).await), (1..=20).collect::<Vec<_>>());
    let head = client.head(&conversation).await.expect("a head");
    assert_eq!((head.turn_count, head.state_revision), (20, 0));
}

/// The caller's times say nothing about the order.
pub async fn order_is_that_of_storing_not_of_clocks(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    let mut said = Vec::new();
    for days in [3, 1, 2, 0, 9] {
        let at = chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::days(days);
        let turn_id = TurnId::generate();
        let input = super::fixture::json("1");
        let turn = lcs_domain::NewTurn::new(turn_id, input, None, at, at, super::fixture::metadata("{}"));
        client.append(append(&conversation, turn.expect("a turn"))).await.expect("a turn is appended");
        said.push(turn_id);
    }
    let read: Vec<TurnId> = client.turns(&conversation).await.iter().map(|turn| turn.turn_id).collect();
    assert_eq!(read, said);
}
