//! For tests: a clock that goes with the runtime's time, which is paused, and can be moved besides.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lcs_domain::clock::to_microseconds;
use lcs_domain::{Clock, ManualClock, SystemClock};
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct PausedClock {
    moved: ManualClock,
    since: Instant,
}

impl PausedClock {
    pub(crate) fn new() -> Self {
        Self { moved: ManualClock::new(SystemClock.now()), since: Instant::now() }
    }

    pub(crate) fn advance(&self, step: Duration) {
        self.moved.advance(step);
    }
}

impl Clock for PausedClock {
    fn now(&self) -> DateTime<Utc> {
        to_microseconds(self.moved.now() + self.since.elapsed())
    }
}
