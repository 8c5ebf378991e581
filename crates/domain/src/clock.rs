//! Where time comes from: a clock that is passed in, and that knows no finer grain than the stores do.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Datelike, SubsecRound, Utc};

use crate::RepositoryError;

/// A source of the current time, in whole microseconds.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The current time, cut to microseconds so that it compares equal after a round trip through any store.
    fn now(&self) -> DateTime<Utc>;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the machine's clock is read")]
    fn now(&self) -> DateTime<Utc> {
        to_microseconds(Utc::now())
    }
}

/// A clock that stands still until it is moved: for tests.
#[derive(Debug)]
pub struct ManualClock(Mutex<DateTime<Utc>>);

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn new(now: DateTime<Utc>) -> Self {
        Self(Mutex::new(to_microseconds(now)))
    }

    /// Moves the clock on by `step`; a step past the end of time leaves it where it is.
    pub fn advance(&self, step: Duration) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = to_microseconds(*now + step);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cuts `time` to whole microseconds, the finest that PostgreSQL keeps.
#[must_use]
pub fn to_microseconds(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(6)
}

/// A caller's time as every store can keep it: cut to microseconds, in the years 1 to 9999.
///
/// `pointer` is where the time stands in the caller's request, for the error.
pub(crate) fn storable(time: DateTime<Utc>, pointer: &str) -> Result<DateTime<Utc>, RepositoryError> {
    if (1..=9999).contains(&time.year()) {
        Ok(to_microseconds(time))
    } else {
        Err(RepositoryError::invalid(pointer, "the year is outside 1 to 9999"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    #[test]
    fn nanoseconds_are_cut_not_rounded() {
        let time = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::nanoseconds(1_999);
        assert_eq!(to_microseconds(time).timestamp_subsec_nanos(), 1_000);
    }

    #[test]
    fn the_system_clock_shows_whole_microseconds() {
        assert_eq!(SystemClock.now().timestamp_subsec_nanos() % 1_000, 0);
    }

    #[test]
    fn a_manual_clock_moves_only_when_it_is_moved() {
        let clock = ManualClock::new(DateTime::<Utc>::UNIX_EPOCH);
        assert_eq!(clock.now(), clock.now());
        clock.advance(Duration::from_mins(1));
        assert_eq!(clock.now().timestamp(), 60);
    }

    #[test]
    fn a_year_no_store_can_hold_is_refused() {
        let error = storable(DateTime::<Utc>::MAX_UTC, "/started_at").unwrap_err();
        assert_eq!(error.to_string(), "invalid value at /started_at: the year is outside 1 to 9999");
    }
}
