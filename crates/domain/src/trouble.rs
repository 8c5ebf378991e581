//! What fails again and again is told when it begins to, once an hour while it lasts, and when it works again.

use std::ops::Sub;
use std::time::Duration;

/// How soon a reason is told again that stays the same: whoever looks at today's log sees what has failed since yesterday.
/// A little less than the hour that a task may wait between two tries: it would else be every second one.
pub const TOLD_EVERY: Duration = Duration::from_mins(55);
/// How many reasons are told in that time: one that is never the same would be told each time.
const MOST_REASONS: usize = 8;

/// How something stands that is tried again and again. `T` is the time of whoever tries.
#[derive(Debug)]
pub struct Trouble<T> {
    since: Option<T>,
    told: Vec<(String, T)>,
}

impl<T> Default for Trouble<T> {
    fn default() -> Self {
        Self { since: None, told: Vec::new() }
    }
}

impl<T: Copy + Sub<Output = Duration>> Trouble<T> {
    /// It has failed `now`, for this reason. For how many milliseconds it has, where that is to be told: a reason is,
    /// once every [`TOLD_EVERY`] until it works again.
    #[must_use]
    pub fn failed(&mut self, now: T, reason: &str) -> Option<u64> {
        let since = *self.since.get_or_insert(now);
        self.told.retain(|(_, at)| now - *at < TOLD_EVERY);
        if self.told.len() >= MOST_REASONS || self.told.iter().any(|(told, _)| told == reason) {
            return None;
        }
        self.told.push((reason.to_owned(), now));
        Some(milliseconds(now - since))
    }

    /// It has worked `now`. For how many milliseconds it had failed before, where it had.
    #[must_use]
    pub fn worked(&mut self, now: T) -> Option<u64> {
        let since = self.since.take()?;
        self.told.clear();
        Some(milliseconds(now - since))
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_reason_is_told_once_until_it_works_again() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.worked(at(1)), None, "nothing was wrong");
        assert_eq!(trouble.failed(at(2), "nothing listens"), Some(0));
        assert_eq!(trouble.failed(at(3), "nothing listens"), None);
        assert_eq!(trouble.failed(at(4), "it is starting up"), Some(2_000));
        assert_eq!(trouble.failed(at(5), "nothing listens"), None);
        assert_eq!(trouble.worked(at(9)), Some(7_000));
        assert_eq!(trouble.worked(at(10)), None);
        assert_eq!(trouble.failed(at(11), "nothing listens"), Some(0));
        assert_eq!(trouble.worked(at(12)), Some(1_000));
    }

    #[test]
    fn a_reason_that_lasts_is_told_once_an_hour() {
        let mut trouble = Trouble::default();
        let minutes = 0..=180;
        let told = minutes.filter(|minute| trouble.failed(at(60 * minute), "the disk is full").is_some());
        assert_eq!(told.collect::<Vec<_>>(), [0, 55, 110, 165]);
        assert_eq!(trouble.failed(at(60 * 240), "the disk is full"), Some(240 * 60_000), "and for how long");
    }

    #[test]
    fn of_reasons_that_are_never_the_same_so_many_are_told_an_hour() {
        let mut trouble = Trouble::default();
        let seconds = 0..2 * TOLD_EVERY.as_secs();
        let told = seconds.filter(|n| trouble.failed(at(*n), &format!("no answer within {n} s")).is_some());
        assert_eq!(told.count(), 2 * MOST_REASONS);
    }
}
