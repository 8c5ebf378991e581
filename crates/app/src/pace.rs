//! How fast retention may go: so many conversations in a second, or as fast as it goes.

use std::num::NonZeroU32;
use std::time::Duration;

use lcs_domain::PageLimit;
use tokio::time::{Instant, sleep_until};

/// How many conversations one batch removes at most: so few that its locks are short.
const BATCH: PageLimit = PageLimit::MAX;

/// The pace of one run.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    per_second: Option<NonZeroU32>,
    next: Instant,
}

impl Pace {
    /// A run that begins now. `None`: as fast as it goes.
    pub(crate) fn new(per_second: Option<NonZeroU32>) -> Self {
        Self { per_second, next: Instant::now() }
    }

    /// Whether there is a pace to be kept.
    pub(crate) const fn is_kept(&self) -> bool {
        self.per_second.is_some()
    }

    /// How many are removed at once: a second's worth, as far as that is no more than a batch may be. One short
    /// while of each second disturbs fewer than several.
    pub(crate) fn batch(&self) -> PageLimit {
        let paced = self.per_second.map(|rate| rate.get().min(BATCH.get()));
        paced.and_then(|batch| PageLimit::new(batch).ok()).unwrap_or(BATCH)
    }

    /// How many are removed in this time, and no fewer than one.
    pub(crate) fn within(&self, time: Duration) -> u32 {
        let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        self.per_second.map_or(u32::MAX, |rate| rate.get().saturating_mul(seconds).max(1))
    }

    /// Waits until the next batch may go.
    pub(crate) async fn wait(&self) {
        sleep_until(self.next).await;
    }

    /// A batch has gone, or was tried.
    pub(crate) fn gone(&mut self) {
        if let Some(rate) = self.per_second {
            // What took longer than it may is not caught up with.
            let pace = Duration::from_secs(1) * self.batch().get() / rate.get();
            self.next = (self.next + pace).max(Instant::now());
        }
    }
}
