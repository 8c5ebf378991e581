//! The connection for maintenance, which stays for a moment: most maintenance is many short steps, and a new
//! connection for each would have parsed nothing yet.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::Session;

/// How long it stays with nothing to do.
const KEPT_FOR: Duration = Duration::from_secs(2);

/// Where the connection stays, and since when; at most one.
#[derive(Default)]
pub(super) struct Kept(Mutex<Option<(Session, Instant)>>);

impl Kept {
    /// The connection that is there, if it is still of use.
    pub(super) fn take(&self, newer_than: Option<Instant>) -> Option<Session> {
        let (mut session, _) = self.slot().take()?;
        session.is_usable(newer_than).then_some(session)
    }

    /// Lets the connection stay, in the place of whatever is there.
    pub(super) fn put(self: &Arc<Self>, mut session: Session) {
        // Without a runtime nobody would close it in time.
        let Ok(runtime) = Handle::try_current() else { return };
        if !session.is_usable(None) {
            return;
        }
        let since = Instant::now();
        *self.slot() = Some((session, since));
        let kept = Arc::downgrade(self);
        runtime.spawn(async move {
            sleep(KEPT_FOR).await;
            if let Some(kept) = kept.upgrade() {
                let _closed = kept.slot().take_if(|(_, put)| *put == since);
            }
        });
    }

    fn slot(&self) -> MutexGuard<'_, Option<(Session, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
