//! P3: who has read turns 1..k reads the same 1..k ever after.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lcs_domain::{Conversation, Turn, TurnRange};

use super::Harness;
use super::fixture::{Client, at_once};

const WRITERS: usize = 4;
const TURNS: usize = 200;

/// Readers that poll while 200 appends land never see the past change: each read goes on from the one
/// before, and its head agrees with its turns.
pub async fn a_poller_never_sees_the_past_change(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    let conversation = client.begin().await;
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = [client.clone(), other.clone()]
        .map(|client| {
            let (conversation, done) = (conversation.clone(), Arc::clone(&done));
            tokio::spawn(async move { poll(&client, &conversation, &done).await })
        })
        .into();
    let writers = at_once((0..WRITERS).map(|writer| {
        let client = if writer % 2 == 0 { client.clone() } else { other.clone() };
        let conversation = conversation.clone();
        async move {
            for i in 0..TURNS / WRITERS {
                client.say(&conversation, &format!("{writer} {i}")).await;
            }
        }
    }));
    writers.await;
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        let seen = reader.await.expect("a reader sees no change of the past");
        assert_eq!(seen.len(), TURNS, "in the end all is read");
        assert_eq!(seen, client.turns(&conversation).await, "and as everybody reads it");
    }
}

/// Reads until all is written and read, and gives the last read.
async fn poll(client: &Client, conversation: &Conversation, done: &AtomicBool) -> Vec<Turn> {
    let mut seen: Vec<Turn> = Vec::new();
    loop {
        let last = done.load(Ordering::SeqCst);
        let page = client.page(conversation, TurnRange::After(0), 200).await.expect("the conversation");
        assert_eq!(page.turn_count as usize, page.turns.len(), "a page and its head are one snapshot");
        assert!(page.turns.len() >= seen.len(), "turns {} were read, then {}", seen.len(), page.turns.len());
        assert_eq!(page.turns[..seen.len()], seen[..], "what was read before is read again");
        seen = page.turns;

        let newest = client.page(conversation, TurnRange::Newest, 5).await.expect("the conversation");
        let numbers: Vec<u32> = newest.turns.iter().map(|turn| turn.turn_number).collect();
        let expected: Vec<u32> = (newest.turn_count.saturating_sub(4).max(1)..=newest.turn_count).collect();
        assert_eq!(numbers, expected, "the newest page ends with the head of its snapshot");
        assert!(newest.turn_count as usize >= seen.len(), "a later read is not an older one");
        for turn in &newest.turns {
            if let Some(before) = seen.get(turn.turn_number as usize - 1) {
                assert_eq!(turn, before, "what was read before is read again");
            }
        }
        if last {
            return seen;
        }
        tokio::task::yield_now().await;
    }
}

/// What its writer was told is stored is read at once, from every handle.
pub async fn what_is_acknowledged_is_read_everywhere(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let other = client.at_another_handle(harness).await;
    let conversation = client.begin().await;
    for number in 1..=30 {
        client.say(&conversation, "hello").await;
        let page = other.page(&conversation, TurnRange::Newest, 1).await.expect("the conversation");
        assert_eq!(page.turns.first().map(|turn| turn.turn_number), Some(number));
        assert_eq!(other.head(&conversation).await.expect("a head").turn_count, number);
    }
}

/// Nothing that is done to a conversation changes the turns that it has.
pub async fn nothing_rewrites_a_turn(harness: &dyn Harness) {
    let client = Client::of(harness).await;
    let conversation = client.begin().await;
    for text in ["one", "two"] {
        client.say(&conversation, text).await;
    }
    let before = client.turns(&conversation).await;
    client.save(super::fixture::saving(&conversation, "1", 0)).await.expect("a state");
    client.update(&conversation, super::fixture::to_topic("t")).await.expect("an update");
    client.archive(&conversation).await;
    assert_eq!(client.turns(&conversation).await, before);
}
