//! What is acknowledged now and stored later: lost with a crash, forgotten, or stored twice.

use std::sync::Arc;
use std::time::Duration;

use lcs_domain::Durability;
use lcs_tests::chaos::history::Placed;
use lcs_tests::chaos::replica::{Append, Conversation, Refusal, Reply};

use super::replica::{Bug, Buggy};

pub(super) fn acknowledge(
    at: &Buggy,
    conversation: &Conversation,
    append: &Append,
    said: Durability,
) -> Reply<Placed> {
    if append.state_from.is_some() {
        return Err(Refusal::Conflict);
    }
    let mut journal = at.journal.lock().unwrap();
    if journal.iter().all(|(_, known)| known.element != append.element) {
        journal.push((conversation.clone(), append.clone()));
    }
    Ok((Placed { turn: None, revision: 0 }, said))
}

/// Stores, every few milliseconds, what was acknowledged; a crash now and then comes first.
pub(super) fn start(replica: &Arc<Buggy>) {
    if !matches!(replica.bug, Bug::EarlyAcknowledgement | Bug::ReplayedTwice | Bug::LostJournal) {
        return;
    }
    let replica = Arc::downgrade(replica);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(3));
        loop {
            ticks.tick().await;
            let Some(replica) = replica.upgrade() else { return };
            if !replica.is_degraded() || replica.bug == Bug::EarlyAcknowledgement {
                settle(&replica).await;
            }
        }
    });
}

async fn settle(at: &Buggy) {
    let entries = std::mem::take(&mut *at.journal.lock().unwrap());
    if at.bug != Bug::ReplayedTwice && at.now_and_then(10) {
        return;
    }
    for (conversation, append) in entries {
        let _stored = at.store.append(&conversation, &append).await;
        if at.bug == Bug::ReplayedTwice && at.now_and_then(5) {
            let _again = at.store.append(&conversation, &at.rekeyed(&append)).await;
        }
    }
}
