//! Whether calls are sent to the primary: opens after failures in a row, closes at a sign of life, or
//! where there is a journal, when that has been replayed.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lcs_domain::journal::JournalEntry;
use lcs_domain::{Repositories, RepositoryError};
use tokio::time::Instant;

use super::journal::Journal;
use super::outage::{Answering, Outage, Watch};
use super::probe::Prober;
use super::replay::Replayer;
use super::{Backlog, CircuitState, FallbackConfig, FallbackStatus, MakeMemory, VolatileCount};

/// The time between two transitions. What a call found out counts only in the epoch that it began in: one
/// that had waited out half an outage says nothing about the database that is back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch(u64);

pub(super) struct Circuit {
    primary: Arc<dyn Repositories>,
    make_memory: MakeMemory,
    config: FallbackConfig,
    journal: Option<Arc<Journal>>,
    state: Mutex<State>,
    discarded: Arc<Mutex<VolatileCount>>,
    /// Writes that the primary has taken: whether it takes any.
    taken: AtomicU64,
}

struct State {
    epoch: Epoch,
    openings: u64,
    position: Position,
}

enum Position {
    Closed { failures: u32 },
    Open(Arc<Outage>),
    Replaying(Arc<Outage>),
}

/// Where the circuit stands at this moment.
pub(super) enum Standing {
    Closed(Epoch),
    Open(Arc<Outage>),
    Replaying(Epoch),
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

/// Whether it was not about the operation: another one would be refused too, and a ping would not show it.
fn is_refusing(error: &RepositoryError) -> bool {
    !matches!(
        error,
        RepositoryError::Unavailable { .. }
            | RepositoryError::OutcomeUnknown { .. }
            | RepositoryError::Overloaded { .. }
    )
}

/// Why the primary counts as gone, as it may be told to anybody: an error may name its caller's key.
pub(super) fn reason(error: &RepositoryError) -> String {
    match Sign::of(Some(error)) {
        Sign::Gone(reason) => reason,
        Sign::Alive | Sign::None => error.to_string(),
    }
}

impl Circuit {
    pub(super) fn new(
        primary: Arc<dyn Repositories>,
        make_memory: MakeMemory,
        mut config: FallbackConfig,
        journal: Option<Arc<Journal>>,
    ) -> Self {
        // Shorter, and a database that refuses at once would be asked without a pause.
        config.probe_interval = config.probe_interval.max(Duration::from_millis(10));
        let position = Position::Closed { failures: 0 };
        let state = Mutex::new(State { epoch: Epoch(0), openings: 0, position });
        let (discarded, taken) = (Arc::default(), AtomicU64::new(0));
        Self { primary, make_memory, config, journal, state, discarded, taken }
    }

    pub(super) fn primary(&self) -> &dyn Repositories {
        &*self.primary
    }

    pub(super) fn journal(&self) -> Option<&Arc<Journal>> {
        self.journal.as_ref()
    }

    pub(super) const fn replay_patience(&self) -> Duration {
        self.config.replay_patience
    }

    /// How many writes the primary has taken.
    pub(super) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    pub(super) fn note_taken(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    /// When to probe after a failure now: several processes do not ask all at once.
    pub(super) fn next_probe(&self) -> Instant {
        // 0 to 400 thousandths. Each `RandomState` has keys of its own: chance enough to spread probes.
        let chance = RandomState::new().hash_one(0_u8) % 401;
        let thousandths = u32::try_from(chance).unwrap_or_default() + 800;
        Instant::now() + self.config.probe_interval * thousandths / 1000
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.state().epoch
    }

    /// How it stands, looked at with the circuit held still: `look` must not wait.
    pub(super) fn standing<T>(self: &Arc<Self>, look: impl FnOnce(Standing) -> T) -> T {
        let state = self.state();
        let epoch = state.epoch;
        let (standing, open) = match &state.position {
            Position::Closed { .. } => (Standing::Closed(epoch), None),
            Position::Open(outage) => (Standing::Open(Arc::clone(outage)), Some(Arc::clone(outage))),
            Position::Replaying(_) => (Standing::Replaying(epoch), None),
        };
        let seen = look(standing);
        drop(state);
        if let Some(outage) = open {
            Prober::ensure(self, &outage, epoch);
        }
        seen
    }

    /// The outage, where the circuit is open.
    pub(super) fn outage(&self) -> Option<Arc<Outage>> {
        match &self.state().position {
            Position::Closed { .. } | Position::Replaying(_) => None,
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
                    let outage = self.begin_outage(reason);
                    self.open(state, &outage);
                }
            }
            // Calls that are not probes have been given no such epoch.
            (Position::Open(outage), Sign::Alive) if error.is_none() => {
                let is_refusing = outage.watch().standing == Answering::Refusing;
                match &self.journal {
                    Some(journal) if !journal.is_drained() => {
                        let outage = Arc::clone(outage);
                        if !is_refusing {
                            self.replay(state, &outage, journal);
                        }
                    }
                    _ => self.close(state),
                }
            }
            (Position::Open(outage), Sign::Gone(reason)) => outage.watch().last_failure = reason,
            (Position::Replaying(outage), Sign::Gone(reason)) => {
                let outage = self.reopened(outage, reason);
                self.open(state, &outage);
            }
            (_, Sign::None) | (Position::Open(_) | Position::Replaying(_), Sign::Alive) => {}
        }
    }

    /// Begins open: an earlier process left a backlog. The first probe is made at once.
    pub(super) async fn begin_open(self: &Arc<Self>, entries: Vec<JournalEntry>) {
        let outage = self.begin_outage("operations of an earlier start wait in the journal".to_owned());
        outage.remember(entries).await;
        outage.watch().next_probe = Instant::now();
        self.open(self.state(), &outage);
    }

    /// The replay of `epoch` cannot go on.
    pub(super) fn stop_replay(self: &Arc<Self>, epoch: Epoch, error: &RepositoryError) {
        let state = self.state();
        if let Position::Replaying(outage) = &state.position
            && state.epoch == epoch
        {
            let outage = self.reopened(outage, reason(error));
            outage.watch().standing =
                if is_refusing(error) { Answering::Refusing } else { Answering::Untried };
            self.open(state, &outage);
        }
    }

    /// The task that replays in `epoch` is gone, perhaps with its runtime: the next call probes again.
    pub(super) fn abandon_replay(&self, epoch: Epoch) {
        let mut state = self.state();
        if let Position::Replaying(outage) = &state.position
            && state.epoch == epoch
        {
            let outage = self.reopened(outage, "the replay was given up".to_owned());
            state.epoch.0 += 1;
            state.position = Position::Open(outage);
        }
    }

    /// Closes, if nothing is left to be replayed.
    pub(super) fn close_drained(&self, epoch: Epoch) -> bool {
        let state = self.state();
        let is_drained = self.journal.as_ref().is_none_or(|journal| journal.is_drained());
        let closes = state.epoch == epoch && is_drained;
        if closes {
            self.close(state);
        }
        closes
    }

    /// Something may be in the journal that a closed circuit would leave there: an operator put it back.
    pub(super) fn replay_again(self: &Arc<Self>) {
        let state = self.state();
        if let Position::Closed { .. } = &state.position
            && let Some(journal) = &self.journal
        {
            let outage = self.begin_outage("it was not asked".to_owned());
            self.replay(state, &outage, journal);
        }
    }

    /// A write that failed so is to be journaled, where there is a journal: what is in it has to be replayed
    /// before the circuit is closed, so it opens, however few failures there were.
    pub(super) fn open_for_write(self: &Arc<Self>, error: &RepositoryError) {
        if self.journal.is_none() {
            return;
        }
        let state = self.state();
        let outage = match &state.position {
            Position::Closed { .. } => self.begin_outage(reason(error)),
            // It began before the outage, and has waited until now.
            Position::Replaying(outage) => self.reopened(outage, reason(error)),
            Position::Open(_) => return,
        };
        self.open(state, &outage);
    }

    fn begin_outage(&self, last_failure: String) -> Arc<Outage> {
        let watch = Watch {
            next_probe: self.next_probe(),
            is_probing: false,
            prober: None,
            last_failure,
            standing: Answering::Untried,
        };
        let (mode, discarded) = (self.config.mode, Arc::clone(&self.discarded));
        Arc::new(Outage::new(mode, &self.make_memory, self.journal.clone(), watch, discarded))
    }

    /// The same outage goes on.
    fn reopened(&self, outage: &Arc<Outage>, last_failure: String) -> Arc<Outage> {
        let mut watch = outage.watch();
        watch.next_probe = self.next_probe();
        watch.last_failure = last_failure;
        watch.standing = Answering::Untried;
        drop(watch);
        Arc::clone(outage)
    }

    fn open(self: &Arc<Self>, mut state: MutexGuard<'_, State>, outage: &Arc<Outage>) {
        state.epoch.0 += 1;
        state.openings += 1;
        state.position = Position::Open(Arc::clone(outage));
        let epoch = state.epoch;
        drop(state);
        let (entries, mode) = (self.backlog().entries, self.config.mode);
        let (last_failure, standing) = {
            let watch = outage.watch();
            (watch.last_failure.clone(), watch.standing)
        };
        if standing == Answering::Refusing {
            tracing::warn!(
                ?mode,
                entries,
                last_failure,
                "the replay has stopped: the circuit is open, and the journal waits until the reason is gone"
            );
        } else {
            tracing::warn!(?mode, entries, last_failure, "the database does not answer: the circuit is open");
        }
        self.wake();
        Prober::ensure(self, outage, epoch);
    }

    fn replay(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        outage: &Arc<Outage>,
        journal: &Arc<Journal>,
    ) {
        state.epoch.0 += 1;
        state.position = Position::Replaying(Arc::clone(outage));
        let epoch = state.epoch;
        drop(state);
        let open_ms = Instant::now().duration_since(outage.since()).as_millis();
        let Backlog { entries, conflicts, .. } = self.backlog();
        tracing::info!(open_ms, entries, conflicts, "the database answers again: the journal is replayed");
        Replayer::start(self, Arc::clone(journal), outage, epoch);
    }

    fn close(&self, mut state: MutexGuard<'_, State>) {
        state.epoch.0 += 1;
        let was = std::mem::replace(&mut state.position, Position::Closed { failures: 0 });
        if let Some(journal) = &self.journal {
            journal.mend();
        }
        drop(state);
        self.wake();
        if let Position::Open(outage) | Position::Replaying(outage) = was {
            outage.end();
        }
    }

    /// Who waits for a conversation to be replayed looks again.
    fn wake(&self) {
        if let Some(journal) = &self.journal {
            journal.wake();
        }
    }

    fn backlog(&self) -> Backlog {
        self.journal.as_ref().map(|journal| journal.count().0).unwrap_or_default()
    }

    pub(super) fn status(&self) -> FallbackStatus {
        let now = Instant::now();
        let state = self.state();
        let (backlog, replayed, refused) =
            self.journal.as_ref().map(|journal| journal.count()).unwrap_or_default();
        let mut status = FallbackStatus {
            mode: self.config.mode,
            state: CircuitState::Closed,
            open_for: None,
            next_probe_in: None,
            last_failure: None,
            volatile: VolatileCount::default(),
            discarded: *self.discarded.lock().unwrap_or_else(PoisonError::into_inner),
            openings: state.openings,
            backlog,
            replayed,
            refused,
        };
        match &state.position {
            Position::Closed { .. } => {}
            Position::Open(outage) => {
                let watch = outage.watch();
                status.state = if watch.is_probing { CircuitState::HalfOpen } else { CircuitState::Open };
                status.open_for = Some(now.duration_since(outage.since()));
                status.next_probe_in = Some(watch.next_probe.saturating_duration_since(now));
                status.last_failure = Some(watch.last_failure.clone());
                status.volatile = outage.count();
            }
            Position::Replaying(outage) => {
                status.state = CircuitState::Replaying;
                status.open_for = Some(now.duration_since(outage.since()));
            }
        }
        status
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
