//! What stops a fake at its n-th step: before a call has had its effect, or behind it.

use std::sync::Mutex;

use lcs_domain::RepositoryError;
use lcs_domain::repository::RepositoryResult;

use super::{outcome_unknown, unavailable};

/// How it shows that the fuse has blown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Blow {
    /// The process is as good as dead: this step and all that follow never end.
    Crash,
    /// This step fails, and those that follow do not.
    Fail,
}

/// Steps of the primary and of the journal, counted together.
#[derive(Debug, Default)]
pub(in super::super) struct Fuse(Mutex<Burning>);

#[derive(Debug, Default)]
struct Burning {
    steps: u64,
    blows_at: Option<(u64, Blow)>,
}

impl Fuse {
    /// From now on it blows at the `step`-th step; `None`: never. Steps are counted anew.
    pub(in super::super) fn set(&self, blows_at: Option<(u64, Blow)>) {
        *self.0.lock().unwrap() = Burning { steps: 0, blows_at };
    }

    pub(in super::super) fn steps(&self) -> u64 {
        self.0.lock().unwrap().steps
    }

    /// Whether everything hangs.
    pub(in super::super) fn is_dead(&self) -> bool {
        let burning = self.0.lock().unwrap();
        burning.blows_at.is_some_and(|(at, blow)| blow == Blow::Crash && burning.steps >= at)
    }

    /// A call begins: what fails now has no effect.
    pub(super) async fn before(&self) -> RepositoryResult<()> {
        self.step(unavailable).await
    }

    /// A call has had its effect: what fails now is not known.
    pub(super) async fn behind(&self) -> RepositoryResult<()> {
        self.step(outcome_unknown).await
    }

    async fn step(&self, failure: fn() -> RepositoryError) -> RepositoryResult<()> {
        let blows_at = {
            let mut burning = self.0.lock().unwrap();
            burning.steps += 1;
            burning.blows_at.map(|(at, blow)| (burning.steps, at, blow))
        };
        match blows_at {
            Some((step, at, Blow::Crash)) if step >= at => std::future::pending().await,
            Some((step, at, Blow::Fail)) if step == at => Err(failure()),
            _ => Ok(()),
        }
    }
}
