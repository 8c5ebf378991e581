//! A store that goes on being honest while its database is gone (P8).
//!
//! [`Fallback`] stands before a primary store and watches what comes back. When the primary has been gone
//! for a few calls in a row the circuit opens: calls are no longer sent to a database that does not
//! answer, and one probe at a time finds out when it is back. What is answered meanwhile is the mode's
//! matter, and never a guess:
//!
//! | while open | [`Refuse`](FallbackMode::Refuse) | [`Memory`](FallbackMode::Memory) | [`Journal`](FallbackMode::Journal) |
//! | --- | --- | --- | --- |
//! | begin a conversation | `Unavailable` | made in memory, and said to be volatile | on the disk and in memory, and said to be journaled |
//! | anything on a conversation that its user began in this outage | `Unavailable` | from memory, and said to be volatile | the same, and said to be journaled; turn numbers and revisions are provisional |
//! | append to another conversation | `Unavailable` | `Unavailable` | on the disk, without a number |
//! | read a turn that is in the journal | | | that turn; its number is 0 where its conversation is not known |
//! | anything else on another conversation or agent | `Unavailable` | `Unavailable`: what it holds cannot be known | `Unavailable` |
//! | begin a request | `Unavailable` | kept in memory: a retry in another process, or after the outage, is not known | as in memory |
//! | interrupt a request that was not begun in this outage | `Unavailable` | `Unavailable`: whether it runs cannot be known | `Unavailable` |
//! | list, adopt, delete, retention, holds, browse, erasure, export, import, audit | `Unavailable` | `Unavailable`: a partial list would be a lie, a deletion one too | `Unavailable` |
//! | [`ping`](Repositories::ping), diagnostics, analytics | the primary | the primary | the primary |
//!
//! When the circuit closes, what was volatile is discarded, counted and logged. From then on such a
//! conversation is what the primary says it is: not found.
//!
//! What was journaled is replayed first, oldest first and conversation by conversation, through the
//! primary's ordinary ports under its own keys: the circuit closes when nothing is left. Meanwhile calls
//! go to the primary, but for those about what is still in the journal: they wait, for
//! [`replay_patience`](FallbackConfig::replay_patience), and are then `Unavailable`. Stopped at any point and
//! begun again, by another process too, a replay comes to the same:
//!
//! | the primary says | what becomes of it |
//! | --- | --- |
//! | the conversation is erased, or its user was after the entry was taken | it is forgotten, unread |
//! | a conversation has moved on | the turn is appended behind what came meanwhile, marked as late; its agent state is a conflict |
//! | an agent state has moved on | the turn is appended, marked as interleaved; its agent state, and those that were made from it, are conflicts |
//! | the conversation is not there, or is damaged | asked again for some seconds, as another replica may have it in its journal; then a conflict |
//! | anything else that is final and about the entry | a conflict: kept until an operator decides ([`Fallback::resolve`]) |
//! | it failed without saying why | asked again for some seconds; then a conflict where it takes other entries, else it refuses everything |
//! | it is gone, overloaded | the circuit is open again, and the rest waits |
//! | it refuses everything: a right, the schema, room is missing, it is read-only | the same, until it takes one of the entries: that it answers a ping is not enough |
//!
//! A write that comes back as `Unavailable` or `OutcomeUnknown` from a primary that the circuit is then open
//! for is journaled under the same key, where it is a `create` or an `append`: what had been applied
//! after all is found at the replay. Where nobody is connected to the primary and nobody can be, such a write is
//! not waited for to its end, but for two seconds. Each write into the journal runs to its end whoever waits for it.
//!
//! What memory cannot know: a `create` that had reached the primary before the outage, sent again during
//! it, begins a conversation of the same id without what the primary has of it. Its answers say
//! `volatile` or `journaled`, as all others do, and its turns come late.

mod agent_state;
mod archive;
mod audit;
mod browse;
mod circuit;
mod conversation;
mod erasure;
mod hold;
mod intake;
mod journal;
mod outage;
mod probe;
mod replay;
mod request;
mod retention;
mod retention_override;
mod route;
mod status;
mod transfer;
mod turn;
mod volatile;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod promise;

use std::fmt;
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lcs_domain::journal::ConflictResolution;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AgentStateRepository, AnalyticsRepository, ArchiveRepository, AuditRepository, BrowseRepository,
    Capabilities, ConversationRepository, DiagnosticRepository, ErasureRepository, HoldRepository,
    JournalRepository, PoolStatus, Repositories, RepositoryError, RequestRepository,
    RetentionOverrideRepository, RetentionRepository, TransferRepository, TurnRepository,
};

pub use self::status::{Backlog, CircuitState, FallbackStatus, VolatileCount};

use self::circuit::{Circuit, Epoch};
use self::journal::Journal;
use self::route::{Route, Subject};

/// What is done while the primary is gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FallbackMode {
    /// Everything is refused at once, and said to be unavailable.
    #[default]
    Refuse,
    /// New conversations are kept in this process's memory, and lost when the primary is back.
    Memory,
    /// Writes are kept in a journal on the disk, and reach the primary when it is back. It takes
    /// [`Fallback::with_journal`].
    Journal,
}

/// When the circuit opens, and what happens then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FallbackConfig {
    /// What is done while it is open.
    pub mode: FallbackMode,
    /// How many calls in a row must find the primary gone to open it. A write that the journal then takes
    /// opens it alone.
    pub failures_to_open: NonZeroU32,
    /// How long after a failed probe the next one is made, give or take a fifth; at least ten
    /// milliseconds.
    pub probe_interval: Duration,
    /// How long a call waits, while a journal is replayed, for what it is about to be in the primary.
    pub replay_patience: Duration,
}

impl Default for FallbackConfig {
    /// Refuse, after three failures, probe every second, and wait two seconds for a replay.
    fn default() -> Self {
        const THREE: NonZeroU32 = NonZeroU32::MIN.saturating_add(2);
        Self {
            mode: FallbackMode::default(),
            failures_to_open: THREE,
            probe_interval: Duration::from_secs(1),
            replay_patience: Duration::from_secs(2),
        }
    }
}

/// Makes an empty store in memory: a fresh one for each outage.
type MakeMemory = Arc<dyn Fn() -> Arc<dyn Repositories> + Send + Sync>;

/// A primary store, and what stands in for it while it is gone.
///
/// It has to be called inside a Tokio runtime: the probes run there.
pub struct Fallback {
    primary: Arc<dyn Repositories>,
    circuit: Arc<Circuit>,
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Fallback {
    /// A closed circuit before `primary`. `memory` makes the store that an outage's conversations are kept
    /// in, where the mode keeps them; it must do its work while it is polled, in no task of its own.
    ///
    /// Without a journal nothing can be journaled: [`FallbackMode::Journal`] is taken for
    /// [`FallbackMode::Refuse`].
    #[must_use]
    pub fn new(
        primary: Arc<dyn Repositories>,
        memory: impl Fn() -> Arc<dyn Repositories> + Send + Sync + 'static,
        mut config: FallbackConfig,
    ) -> Self {
        if config.mode == FallbackMode::Journal {
            config.mode = FallbackMode::Refuse;
        }
        let circuit = Circuit::new(Arc::clone(&primary), Arc::new(memory), config, None);
        Self { primary, circuit: Arc::new(circuit) }
    }

    /// A fallback with `journal`, in [`FallbackMode::Journal`] whatever `config` says. Where the journal holds
    /// what an earlier process could not bring to the primary, it begins open, and replays that as soon
    /// as the primary answers.
    ///
    /// # Errors
    /// What the journal answers where it cannot be read.
    pub async fn with_journal(
        primary: Arc<dyn Repositories>,
        memory: impl Fn() -> Arc<dyn Repositories> + Send + Sync + 'static,
        config: FallbackConfig,
        journal: Arc<dyn JournalRepository>,
    ) -> RepositoryResult<Self> {
        let config = FallbackConfig { mode: FallbackMode::Journal, ..config };
        let (journal, entries) = Journal::open(journal).await?;
        let journal = Some(Arc::new(journal));
        let circuit = Arc::new(Circuit::new(Arc::clone(&primary), Arc::new(memory), config, journal));
        if !entries.is_empty() {
            circuit.begin_open(entries).await;
        }
        Ok(Self { primary, circuit })
    }

    /// Does with a conflict of the journal what an operator decided; what is to be tried again is replayed
    /// at once where the primary is there. `false` where there is no such conflict.
    ///
    /// # Errors
    /// What the journal answers; `Unavailable` where the mode has none.
    pub async fn resolve(&self, sequence: u64, resolution: ConflictResolution) -> RepositoryResult<bool> {
        let Some(journal) = self.circuit.journal() else {
            return Err(RepositoryError::unavailable("the fallback has no journal"));
        };
        let is_resolved = journal.resolve(sequence, resolution).await?;
        if is_resolved && resolution == ConflictResolution::Retry {
            self.circuit.replay_again();
            journal.wake();
        }
        Ok(is_resolved)
    }

    /// Looks into the journal again, because another process has decided about its conflicts: what is to be
    /// tried again is replayed at once where the primary is there.
    ///
    /// # Errors
    /// What the journal answers.
    pub async fn look_again(&self) -> RepositoryResult<()> {
        let Some(journal) = self.circuit.journal() else { return Ok(()) };
        if journal.look_again().await? {
            self.circuit.replay_again();
            journal.wake();
        }
        Ok(())
    }

    /// How it stands now.
    #[must_use]
    pub fn status(&self) -> FallbackStatus {
        self.circuit.status()
    }

    /// What the primary alone can do, over all users: while it is away it is refused, with what is told then.
    async fn of_primary<T>(
        &self,
        refused: &str,
        call: impl Future<Output = RepositoryResult<T>> + Send,
    ) -> RepositoryResult<T> {
        match self.circuit.route(Subject::Everything).await? {
            Route::Primary(epoch) => self.watched(epoch, call).await,
            Route::Outage(outage) => Err(outage.refusal(refused)),
        }
    }

    /// What the primary answers, with the circuit watching.
    async fn watched<T>(
        &self,
        epoch: Epoch,
        call: impl Future<Output = RepositoryResult<T>> + Send,
    ) -> RepositoryResult<T> {
        let result = call.await;
        self.circuit.observe(epoch, result.as_ref().err());
        result
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Repositories for Fallback {
    fn conversations(&self) -> &dyn ConversationRepository {
        self
    }

    fn turns(&self) -> &dyn TurnRepository {
        self
    }

    fn agent_states(&self) -> &dyn AgentStateRepository {
        self
    }

    fn requests(&self) -> &dyn RequestRepository {
        self
    }

    fn retention(&self) -> &dyn RetentionRepository {
        self
    }

    fn retention_overrides(&self) -> &dyn RetentionOverrideRepository {
        self
    }

    fn holds(&self) -> &dyn HoldRepository {
        self
    }

    fn erasures(&self) -> &dyn ErasureRepository {
        self
    }

    fn audit(&self) -> &dyn AuditRepository {
        self
    }

    fn browse(&self) -> &dyn BrowseRepository {
        self
    }

    fn transfers(&self) -> &dyn TransferRepository {
        self
    }

    fn archives(&self) -> &dyn ArchiveRepository {
        self
    }

    /// The primary's own: who looks into a store's health wants to see that store.
    fn diagnostics(&self) -> &dyn DiagnosticRepository {
        self.primary.diagnostics()
    }

    /// The primary's own, as with diagnostics: what waits in a journal is not counted before it is there.
    fn analytics(&self) -> &dyn AnalyticsRepository {
        self.primary.analytics()
    }

    /// Asks the primary, whether the circuit is open or not: what comes back is the truth about it. The
    /// circuit takes note: a sign of life closes it at once.
    async fn ping(&self) -> RepositoryResult<()> {
        let epoch = self.circuit.epoch();
        self.watched(epoch, self.primary.ping()).await
    }

    /// The primary's. How durable an answer given while the circuit is open is, that answer says.
    fn capabilities(&self) -> Capabilities {
        self.primary.capabilities()
    }

    /// The primary's.
    fn pool_status(&self) -> Option<PoolStatus> {
        self.primary.pool_status()
    }
}
