//! Numbers that are given without a lock, or to what is then refused.

use lcs_domain::Durability;
use lcs_tests::chaos::history::{Page, Placed};
use lcs_tests::chaos::replica::{self, Append, Conversation, Refusal, Reply};

use super::replica::{Bug, Buggy};
use super::time::cut;

pub(super) async fn append(at: &Buggy, conversation: &Conversation, append: &Append) -> Reply<Placed> {
    // Whether it is there, and what its state is, the store knows.
    let (seen, durability) = at.store.state(conversation.user, conversation).await?;
    if append.state_from.is_some() {
        return Err(Refusal::Conflict);
    }
    let number = conversation.number;
    let known = |element| {
        let numbered = at.shared.numbered.lock().unwrap();
        numbered.get(&number)?.iter().find(|(_, stored)| stored.element == element).map(|(turn, _)| *turn)
    };
    let turn = if let Some(turn) = known(append.element) {
        turn
    } else {
        let turn = if at.bug == Bug::BurnedNumber {
            let turn = {
                let mut counters = at.shared.counters.lock().unwrap();
                let counter = counters.entry(number).or_default();
                *counter += 1;
                *counter
            };
            if at.now_and_then(20) {
                return Err(Refusal::NotDone("rolled back".into()));
            }
            turn
        } else {
            let greatest = at.shared.numbered.lock().unwrap().get(&number).map_or(0, Vec::len);
            tokio::task::yield_now().await;
            u32::try_from(greatest).unwrap() + 1
        };
        at.shared.numbered.lock().unwrap().entry(number).or_default().push((turn, append.clone()));
        turn
    };
    Ok((Placed { turn: Some(turn), revision: seen.revision }, durability))
}

pub(super) fn read(at: &Buggy, of: &Conversation, after: Option<u32>, limit: u32) -> (Page, Durability) {
    let numbered = at.shared.numbered.lock().unwrap();
    let stored = numbered.get(&of.number).into_iter().flatten();
    let mut turns: Vec<_> = stored.map(|(turn, append)| replica::turn(*turn, &append.content)).collect();
    turns.sort_by_key(|turn| turn.number);
    (cut(turns, after, limit), Durability::Durable)
}
