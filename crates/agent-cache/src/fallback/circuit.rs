//! Whether calls are sent to the primary: opens after failures in a row, closes at a sign of life.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lcs_domain::{Repositories, RepositoryError};
use tokio::time::Instant;

use super::outage::{Outage, Watch};
use super::probe::Prober;
use super::{Backlog, CircuitState, FallbackConfig, FallbackStatus, MakeMemory, VolatileCount};

/// The time between two transitions. What a call found out counts only in the epoch that it began in: one
/// that had waited out half an outage says nothing about the database that is back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch(u64);

/// Where a call goes.
pub(super) enum Route {
    /// To the primary. The result is to be observed.
    Primary(Epoch),
    /// To what the outage still can answer, or to its refusal.
    Outage(Arc<Outage>),
}

pub(super) struct Circuit {
    primary: Arc<dyn Repositories>,
    make_memory: MakeMemory,
    config: FallbackConfig,
    state: Mutex<State>,
    discarded: Arc<Mutex<VolatileCount>>,
}

struct State {
    epoch: Epoch,
    openings: u64,
    position: Position,
}

enum Position {
    Closed { failures: u32 },
    Open(Arc<Outage>),
}

/// What a result says about the primary.
enum Sign {
    Alive,
    Gone(String),
    /// Refused before the database was asked, or for want of a connection, which a database that hangs
    /// shows as too: neither counts.
    None,
}

impl Sign {
    fn of(error: Option<&RepositoryError>) -> Self {
        match error {
            Some(RepositoryError::Unavailable { reason, .. }) => Self::Gone(reason.clone()),
            Some(RepositoryError::OutcomeUnknown { .. }) => {
                Self::Gone("the connection was lost before it answered".to_owned())
            }
            Some(
                RepositoryError::Invalid { .. }
                | RepositoryError::TooLarge { .. }
                | RepositoryError::Overloaded { .. },
            ) => Self::None,
            None | Some(_) => Self::Alive,
        }
    }
}

impl Circuit {
    pub(super) fn new(
        primary: Arc<dyn Repositories>,
        make_memory: MakeMemory,
        mut config: FallbackConfig,
    ) -> Self {
        // Shorter, and a database that refuses at once would be asked without a pause.
        config.probe_interval = config.probe_interval.max(Duration::from_millis(10));
        let position = Position::Closed { failures: 0 };
        let state = Mutex::new(State { epoch: Epoch(0), openings: 0, position });
        Self { primary, make_memory, config, state, discarded: Arc::default() }
    }

    pub(super) fn primary(&self) -> &dyn Repositories {
        &*self.primary
    }

    pub(super) const fn probe_interval(&self) -> Duration {
        self.config.probe_interval
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.state().epoch
    }

    /// Where a call that begins now goes.
    pub(super) fn route(self: &Arc<Self>) -> Route {
        let (epoch, outage) = {
            let state = self.state();
            match &state.position {
                Position::Closed { .. } => return Route::Primary(state.epoch),
                Position::Open(outage) => (state.epoch, Arc::clone(outage)),
            }
        };
        Prober::ensure(self, &outage, epoch);
        Route::Outage(outage)
    }

    /// The outage, where there is one.
    pub(super) fn outage(&self) -> Option<Arc<Outage>> {
        match &self.state().position {
            Position::Closed { .. } => None,
            Position::Open(outage) => Some(Arc::clone(outage)),
        }
    }

    /// Takes note of how a call to the primary ended that began in `epoch`.
    pub(super) fn observe(self: &Arc<Self>, epoch: Epoch, error: Option<&RepositoryError>) {
        let mut state = self.state();
        if state.epoch != epoch {
            return;
        }
        match (&mut state.position, Sign::of(error)) {
            (Position::Closed { failures }, Sign::Alive) => *failures = 0,
            (Position::Closed { failures }, Sign::Gone(reason)) => {
                *failures += 1;
                if *failures >= self.config.failures_to_open.get() {
                    self.open(state, reason);
                }
            }
            // Calls that are not probes have been given no such epoch.
            (Position::Open(_), Sign::Alive) if error.is_none() => Self::close(state),
            (Position::Open(outage), Sign::Gone(reason)) => outage.watch().last_failure = reason,
            (_, Sign::None) | (Position::Open(_), Sign::Alive) => {}
        }
    }

    fn open(self: &Arc<Self>, mut state: MutexGuard<'_, State>, last_failure: String) {
        tracing::warn!(
            failures = self.config.failures_to_open.get(),
            mode = ?self.config.mode,
            last_failure,
            "the database does not answer: the circuit is open"
        );
        let next_probe = Instant::now() + self.config.probe_interval;
        let watch = Watch { next_probe, is_probing: false, has_prober: false, last_failure };
        let discarded = Arc::clone(&self.discarded);
        let outage = Arc::new(Outage::new(self.config.mode, &self.make_memory, watch, discarded));
        state.epoch.0 += 1;
        state.openings += 1;
        state.position = Position::Open(Arc::clone(&outage));
        let epoch = state.epoch;
        drop(state);
        Prober::ensure(self, &outage, epoch);
    }

    fn close(mut state: MutexGuard<'_, State>) {
        state.epoch.0 += 1;
        let was = std::mem::replace(&mut state.position, Position::Closed { failures: 0 });
        drop(state);
        if let Position::Open(outage) = was {
            outage.end();
        }
    }

    pub(super) fn status(&self) -> FallbackStatus {
        let now = Instant::now();
        let state = self.state();
        let mut status = FallbackStatus {
            mode: self.config.mode,
            state: CircuitState::Closed,
            open_for: None,
            next_probe_in: None,
            volatile: VolatileCount::default(),
            discarded: *self.discarded.lock().unwrap_or_else(PoisonError::into_inner),
            openings: state.openings,
            backlog: Backlog::default(),
            replayed: 0,
            refused: 0,
        };
        if let Position::Open(outage) = &state.position {
            let watch = outage.watch();
            status.state = if watch.is_probing { CircuitState::HalfOpen } else { CircuitState::Open };
            status.open_for = Some(now.duration_since(outage.since()));
            status.next_probe_in = Some(watch.next_probe.saturating_duration_since(now));
            status.volatile = outage.count();
        }
        status
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
