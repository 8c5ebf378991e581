//! Turns in the order of clocks, of which each replica has its own.

use lcs_domain::{Clock, SystemClock};
use lcs_tests::chaos::history::{Page, Placed, Turn};
use lcs_tests::chaos::replica::{Append, Conversation, Reply};

use super::replica::Buggy;

/// How far the second replica's clock is behind the first's.
const BEHIND_US: i64 = 2_000;

pub(super) async fn append(at: &Buggy, conversation: &Conversation, append: &Append) -> Reply<Placed> {
    let now = SystemClock.now().timestamp_micros() - i64::from(at.number) * BEHIND_US;
    at.shared.times.lock().unwrap().entry(append.element).or_insert(now);
    let (placed, durability) = at.store.append(conversation, append).await?;
    Ok((Placed { turn: None, ..placed }, durability))
}

pub(super) async fn read(
    at: &Buggy,
    user: u32,
    of: &Conversation,
    after: Option<u32>,
    limit: u32,
) -> Reply<Page> {
    let mut turns: Vec<Turn> = Vec::new();
    let durability = loop {
        let behind = u32::try_from(turns.len()).unwrap();
        let (page, durability) = at.store.read(user, of, Some(behind), 200).await?;
        turns.extend(&page.turns);
        if page.turns.len() < 200 {
            break durability;
        }
    };
    let times = at.shared.times.lock().unwrap();
    turns.sort_by_key(|turn| times.get(&turn.element).copied().unwrap_or_default());
    for (turn, number) in turns.iter_mut().zip(1..) {
        turn.number = number;
    }
    Ok((cut(turns, after, limit), durability))
}

/// The page of these turns.
pub(super) fn cut(turns: Vec<Turn>, after: Option<u32>, limit: u32) -> Page {
    let turn_count = u32::try_from(turns.len()).unwrap();
    let skipped = after.unwrap_or(turn_count.saturating_sub(limit));
    let turns = turns.into_iter().skip(skipped as usize).take(limit as usize).collect();
    Page { after, limit, turn_count, turns }
}
