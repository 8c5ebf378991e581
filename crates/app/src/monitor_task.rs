//! How the database is doing, looked at again and again while the service runs, for its metrics.
//!
//! A look reads the catalogue and the server's own statistics, no user's row. Nobody waits for it: who asks for the
//! metrics gets what the last look has found, and when that was.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::PersistenceManager;
use crate::task_log::TaskLog;
use crate::telemetry::{DatabaseGauges, database_not_seen};

/// Looks at once, and every `period` until it is told to stop.
pub async fn run(manager: PersistenceManager, period: Duration, stop: CancellationToken) {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut gauges, mut log) = (DatabaseGauges::default(), TaskLog::of("monitoring"));
    let looks = async {
        loop {
            ticks.tick().await;
            look(&manager, &mut gauges, &mut log).await;
        }
    };
    tokio::select! {
        () = looks => {}
        () = stop.cancelled() => {}
    }
}

async fn look(manager: &PersistenceManager, gauges: &mut DatabaseGauges, log: &mut TaskLog) {
    let status = manager.repositories().analytics().database_status().await;
    log.note(&status);
    match status {
        Ok(status) => gauges.looked_at(&status, manager.clock().now()),
        Err(_) => database_not_seen(),
    }
}
