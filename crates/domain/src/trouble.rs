//! What fails again and again is told when it begins to and when it works again, and not each time.

use std::ops::Sub;

/// How many reasons are told before it works again: one that is never the same would be told each time.
const MOST_REASONS: usize = 8;

/// How something stands that is tried again and again. `T` is the time of whoever tries: by it, how long it failed is told.
#[derive(Debug)]
pub struct Trouble<T> {
    since: Option<T>,
    told: Vec<String>,
}

impl<T> Default for Trouble<T> {
    fn default() -> Self {
        Self { since: None, told: Vec::new() }
    }
}

impl<T: Copy + Sub> Trouble<T> {
    /// It has failed `now`, for this reason. Whether that is to be told: a reason is, once until it works again.
    #[must_use]
    pub fn failed(&mut self, now: T, reason: &str) -> bool {
        self.since.get_or_insert(now);
        let is_told = self.told.len() >= MOST_REASONS || self.told.iter().any(|told| told == reason);
        if !is_told {
            self.told.push(reason.to_owned());
        }
        !is_told
    }

    /// It has worked `now`. For how long it had failed before, where it had.
    #[must_use]
    pub fn worked(&mut self, now: T) -> Option<T::Output> {
        let since = self.since.take()?;
        self.told.clear();
        Some(now - since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_once_until_it_works_again() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.worked(1), None, "nothing was wrong");
        assert!(trouble.failed(2, "nothing listens"));
        assert!(!trouble.failed(3, "nothing listens"));
        assert!(trouble.failed(4, "it is starting up"));
        assert!(!trouble.failed(5, "nothing listens"));
        assert_eq!(trouble.worked(9), Some(7));
        assert_eq!(trouble.worked(10), None);
        assert!(trouble.failed(11, "nothing listens"));
        assert_eq!(trouble.worked(12), Some(1));
    }

    #[test]
    fn reasons_that_are_never_the_same_come_to_an_end() {
        let mut trouble = Trouble::default();
        let told = (0..100).filter(|n| trouble.failed(*n, &format!("no answer within {n} s"))).count();
        assert_eq!(told, MOST_REASONS);
    }
}
