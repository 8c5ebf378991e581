//! The connections for maintenance, which stay for a moment: most maintenance is many short steps, and a new
//! connection for each would have parsed nothing yet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::Session;

/// How long one stays with nothing to do.
const KEPT_FOR: Duration = Duration::from_secs(2);

/// How many stay: as many as a purge has batches under way, which may end at the same moment.
const MOST: usize = 2;

/// Where the connections stay, and since when, the oldest first.
#[derive(Default)]
pub(super) struct Kept(Mutex<Vec<(Session, Instant)>>);

impl Kept {
    /// The connection that came last, if it is still of use.
    pub(super) fn take(&self, newer_than: Option<Instant>) -> Option<Session> {
        let (mut session, _) = self.sessions().pop()?;
        session.is_usable(newer_than).then_some(session)
    }

    /// Lets the connection stay, in the place of the oldest where there are as many as may be.
    pub(super) fn put(self: &Arc<Self>, mut session: Session) {
        // Without a runtime nobody would close it in time.
        let Ok(runtime) = Handle::try_current() else { return };
        if !session.is_usable(None) {
            return;
        }
        let since = Instant::now();
        let mut sessions = self.sessions();
        let _closed = (sessions.len() >= MOST).then(|| sessions.remove(0));
        sessions.push((session, since));
        drop(sessions);
        let kept = Arc::downgrade(self);
        runtime.spawn(async move {
            sleep(KEPT_FOR).await;
            if let Some(kept) = kept.upgrade() {
                // Closed when the others can be had again.
                let _closed: Vec<_> = kept.sessions().extract_if(.., |(_, put)| *put == since).collect();
            }
        });
    }

    fn sessions(&self) -> MutexGuard<'_, Vec<(Session, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
