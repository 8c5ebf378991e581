//! How long and how often an operation is tried. This is the only layer that tries again: what is run
//! again here is not run again above.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use lcs_domain::RepositoryError;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

/// The longest that the first pause may be; that of each later one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// How long a pause may be at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often a statement is run at most.
const RUNS: u32 = 5;

/// What one call of a port has: time, and whether a write of it was lost on the way.
pub(super) struct Operation {
    deadline: Instant,
    lost: OnceLock<Uuid>,
}

impl Operation {
    pub(super) fn new(time: Duration) -> Self {
        Self::until(Instant::now() + time)
    }

    pub(super) const fn until(deadline: Instant) -> Self {
        Self { deadline, lost: OnceLock::new() }
    }

    pub(super) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Notes that the answer to a write under `key` did not come.
    pub(super) fn lose(&self, key: Uuid) {
        self.lost.get_or_init(|| key);
    }

    /// Whether the answer to a write did not come.
    pub(super) fn has_lost(&self) -> bool {
        self.lost.get().is_some()
    }

    /// What `error`, the end of this call, is to the caller: it says nothing of what a lost write did.
    pub(super) fn ended_by(&self, error: RepositoryError) -> RepositoryError {
        let Some(key) = self.lost.get() else { return error };
        tracing::warn!(%key, error = %error, "the outcome of a write is unknown");
        outcome_unknown(*key)
    }
}

/// What to tell of a write under `key` that may or may not have been applied.
pub(super) fn outcome_unknown(key: Uuid) -> RepositoryError {
    let key = if key.is_nil() { "(it has none: just run it again)".into() } else { key.to_string() };
    RepositoryError::OutcomeUnknown { key }
}

/// The tries that one statement has, of connecting and of running it.
pub(super) struct Tries {
    deadline: Instant,
    runs: u32,
    pauses: u32,
}

impl Tries {
    pub(super) const fn until(deadline: Instant) -> Self {
        Self { deadline, runs: 1, pauses: 0 }
    }

    pub(super) const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Waits before the next try; `false` at once where that would come after `end` or the deadline.
    ///
    /// The pause is any time up to its limit, so that those who failed together do not come back together.
    pub(super) async fn pause(&mut self, end: Instant) -> bool {
        let limit = FIRST_PAUSE.saturating_mul(1 << self.pauses.min(10)).min(LONGEST_PAUSE);
        self.pauses += 1;
        let pause = limit.mul_f64(fastrand::f64());
        if Instant::now() + pause >= end.min(self.deadline) {
            return false;
        }
        sleep(pause).await;
        true
    }

    /// Waits before the statement is run again; `false` where it is not to be.
    pub(super) async fn run_again(&mut self, budget: &RetryBudget) -> bool {
        if self.runs >= RUNS || !budget.spend() {
            return false;
        }
        self.runs += 1;
        self.pause(self.deadline).await
    }
}

/// What the statements of one store together may be run again.
///
/// When a server is in trouble, most statements fail at once; each of them run five times is five times the
/// load, at the worst moment. So there is a reserve, enough for all that can be under way when the server
/// restarts; what is spent of it comes back with success, one run again for ten statements that went well.
pub(super) struct RetryBudget {
    /// In tenths of a run.
    tenths: AtomicU32,
    most: u32,
}

impl RetryBudget {
    /// The budget of a store with so many connections.
    pub(super) fn of(connections: u32) -> Self {
        let most = connections.saturating_mul(10 * (RUNS - 1)).max(500);
        Self { tenths: AtomicU32::new(most), most }
    }

    /// Takes one run out of it; `false` where there is none.
    fn spend(&self) -> bool {
        let spent =
            self.tenths.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tenths| tenths.checked_sub(10));
        if spent.is_err() {
            tracing::debug!("the budget for running statements again is spent");
        }
        spent.is_ok()
    }

    /// A statement went well.
    pub(super) fn earn(&self) {
        let more = |tenths| (tenths < self.most).then_some(tenths + 1);
        let _full = self.tenths.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_statement_is_run_five_times_within_its_deadline() {
        let budget = RetryBudget::of(50);
        let began = Instant::now();
        let mut tries = Tries::until(began + Duration::from_secs(10));
        let mut runs = 1;
        while tries.run_again(&budget).await {
            runs += 1;
        }
        assert_eq!(runs, 5);
        assert!(began.elapsed() <= Duration::from_millis(20 + 40 + 80 + 160 + 4), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn connecting_is_tried_until_the_end_and_not_beyond() {
        let began = Instant::now();
        let end = began + Duration::from_secs(10);
        let mut tries = Tries::until(end);
        let mut attempts = 0;
        while tries.pause(end).await {
            attempts += 1;
        }
        assert!((8..200).contains(&attempts), "{attempts}");
        assert!((Duration::from_secs(9)..Duration::from_secs(10)).contains(&began.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_spent_comes_back_with_success() {
        let budget = RetryBudget::of(1);
        let runs = (0..1_000).filter(|_| budget.spend()).count();
        assert_eq!(runs, 50, "a small pool has a reserve too");
        (0..25).for_each(|_| budget.earn());
        assert_eq!((0..10).filter(|_| budget.spend()).count(), 2);
        (0..100_000).for_each(|_| budget.earn());
        assert_eq!((0..1_000).filter(|_| budget.spend()).count(), 50, "and no more than that");
    }
}
