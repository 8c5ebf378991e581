//! What is erased in the store is forgotten by every replica: agents that are in memory, and what its journal holds.
//!
//! Each replica asks the store for a number, again and again. It is another one when something was erased.

use std::time::Duration;

use lcs_domain::repository::RepositoryResult;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::PersistenceManager;
use crate::task_log::TaskLog;

/// How often it is asked, and so how long an erased agent is in a replica's memory at most, if the database answers.
pub const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Looks every `interval` whether something was erased, until it is told to stop.
pub async fn run(manager: PersistenceManager, look_interval: Duration, stop: CancellationToken) {
    let mut ticks = interval(look_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let looks = async {
        // What was erased before the start may be in the journal.
        let (mut known, mut log) = (None, TaskLog::of("erasures"));
        loop {
            ticks.tick().await;
            // The next look makes up for one that fails.
            log.note(&look(&manager, &mut known).await);
        }
    };
    tokio::select! {
        () = looks => {}
        () = stop.cancelled() => {}
    }
}

async fn look(manager: &PersistenceManager, known: &mut Option<u64>) -> RepositoryResult<()> {
    let latest = manager.repositories().erasures().latest_erasure().await?;
    if *known != Some(latest) {
        if latest > 0 {
            manager.erasure().forget_erased().await?;
        }
        *known = Some(latest);
    }
    Ok(())
}
