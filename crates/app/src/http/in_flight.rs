//! The requests that this process is answering: their leases are renewed, and they are stopped when
//! somebody, on whatever replica, asks for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lcs_domain::{Repositories, RequestId, UserId};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::task_log::TaskLog;

/// How often it is asked which requests are to be stopped.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The requests that this process is answering. Cheap to clone.
#[derive(Clone)]
pub(super) struct InFlight {
    requests: Arc<Mutex<HashMap<RequestId, Entry>>>,
    _watch: Arc<DropGuard>,
}

struct Entry {
    user_id: UserId,
    stop: CancellationToken,
}

impl InFlight {
    /// None yet. A task watches them until the last clone is dropped: a request is known to be worked on for
    /// `lease` after it was last seen to.
    pub(super) fn new(repositories: Arc<dyn Repositories>, lease: Duration) -> Self {
        let requests = Arc::default();
        let ended = CancellationToken::new();
        tokio::spawn(ended.clone().run_until_cancelled_owned(watch(
            Arc::clone(&requests),
            repositories,
            lease,
        )));
        Self { requests, _watch: Arc::new(ended.drop_guard()) }
    }

    /// Keeps the request's lease until the guard is dropped, and cancels `stop` when it is interrupted.
    pub(super) fn enter(&self, user_id: UserId, id: RequestId, stop: CancellationToken) -> Entered {
        lock(&self.requests).insert(id, Entry { user_id, stop });
        Entered { requests: Arc::clone(&self.requests), id }
    }

    /// Stops the request where it is answered by this process.
    pub(super) fn stop(&self, user_id: UserId, id: RequestId) {
        if let Some(entry) = lock(&self.requests).get(&id).filter(|entry| entry.user_id == user_id) {
            entry.stop.cancel();
        }
    }
}

type Requests = Mutex<HashMap<RequestId, Entry>>;

fn lock(requests: &Requests) -> MutexGuard<'_, HashMap<RequestId, Entry>> {
    requests.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request that is being answered; it no longer is when this is dropped.
pub(super) struct Entered {
    requests: Arc<Requests>,
    id: RequestId,
}

impl Drop for Entered {
    fn drop(&mut self) {
        lock(&self.requests).remove(&self.id);
    }
}

async fn watch(requests: Arc<Requests>, repositories: Arc<dyn Repositories>, lease: Duration) {
    let mut ticks = tokio::time::interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut log = TaskLog::of("leases of requests");
    loop {
        ticks.tick().await;
        let answered: Vec<_> = lock(&requests).iter().map(|(id, entry)| (entry.user_id, *id)).collect();
        if answered.is_empty() {
            continue;
        }
        let renewed = repositories.requests().renew(&answered, lease).await;
        log.note(&renewed);
        // Where it fails the answers go on; a lease that runs out lets a retry take over, and the turn's id keeps it one turn.
        let Ok(interrupted) = renewed else { continue };
        let requests = lock(&requests);
        for id in interrupted {
            if let Some(entry) = requests.get(&id) {
                entry.stop.cancel();
            }
        }
    }
}
