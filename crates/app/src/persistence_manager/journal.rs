//! The journal of this process: opened before anything else, and watched for what others decide about it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use lcs_agent_cache::Fallback;
use lcs_agent_cache::fallback::{CircuitState, FallbackConfig};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{Clock, JournalRepository, Repositories, RepositoryError};
use lcs_storage::sqlite::{SqliteJournal, WeakJournal};
use tokio::time::{MissedTickBehavior, interval};

use crate::configuration::JournalConfiguration;
use crate::task_log::TaskLog;

/// How often it is looked whether an operator has decided about a conflict from the command line.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// At each so-manieth look, what processes left that are gone is taken over.
const LOOKS_TO_ADOPT: u64 = 3;

/// Opens the configured journal.
///
/// # Errors
/// `Invalid`, with what is wrong with the folder and what to do.
pub(super) async fn open(
    configuration: &JournalConfiguration,
    clock: Arc<dyn Clock>,
) -> RepositoryResult<SqliteJournal> {
    let journal = SqliteJournal::open(&configuration.folder, configuration.limits, clock).await;
    let journal = journal.map_err(|error| unusable(&error))?;
    tracing::info!(file = %journal.file().display(), entries = journal.last_status().entries, "the journal is open");
    Ok(journal)
}

/// The fallback over `journal`, which is told of what another process does with its conflicts.
///
/// # Errors
/// `Invalid`, where what an earlier process left in it cannot be read.
pub(super) async fn fallback(
    store: Arc<dyn Repositories>,
    memory: impl Fn() -> Arc<dyn Repositories> + Send + Sync + 'static,
    config: FallbackConfig,
    journal: &SqliteJournal,
) -> RepositoryResult<Arc<Fallback>> {
    let port: Arc<dyn JournalRepository> = Arc::new(journal.clone());
    let fallback = Fallback::with_journal(store, memory, config, port).await;
    let fallback = Arc::new(fallback.map_err(|error| unusable(&error))?);
    watch(Arc::downgrade(&fallback), journal.downgrade());
    Ok(fallback)
}

/// Looks again and again, for as long as there is a fallback. In between it keeps neither of them, and so not
/// the journal's lock.
fn watch(fallback: Weak<Fallback>, journal: WeakJournal) {
    tokio::spawn(async move {
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looking = TaskLog::of("journal");
        let mut adopting = TaskLog::of("journals of processes that are gone");
        for number in 0_u64.. {
            looks.tick().await;
            let (Some(fallback), Some(journal)) = (fallback.upgrade(), journal.upgrade()) else { return };
            looking.note(&look(&fallback, &journal).await);
            if number % LOOKS_TO_ADOPT == 0 {
                adopting.note(&adopt(&fallback, &journal).await);
            }
        }
    });
}

/// Has the fallback look into the journal where something is there that it does not know of.
async fn look(fallback: &Fallback, journal: &SqliteJournal) -> RepositoryResult<()> {
    let before = fallback.status();
    let status = journal.status().await?;
    let after = fallback.status();
    // While the circuit is closed, nothing is written there.
    let is_closed = [before.state, after.state] == [CircuitState::Closed; 2];
    let is_forgotten = status.entries > 0 && is_closed && before.openings == after.openings;
    // Each decision of an operator makes them one more or one less.
    if is_forgotten || status.conflicts != after.backlog.conflicts {
        fallback.look_again().await?;
    }
    Ok(())
}

/// Takes over what other processes have left, when the database is there to take it in turn: what is old must
/// not keep this journal from taking what is new.
async fn adopt(fallback: &Fallback, journal: &SqliteJournal) -> RepositoryResult<()> {
    if fallback.status().state != CircuitState::Closed {
        return Ok(());
    }
    let adopted = journal.adopt().await;
    if !matches!(adopted, Ok(0)) {
        // Also where not all of them were taken.
        fallback.look_again().await?;
    }
    adopted.map(drop)
}

fn unusable(error: &RepositoryError) -> RepositoryError {
    let reason = match error {
        RepositoryError::Unavailable { reason, .. }
        | RepositoryError::ReadOnly { reason }
        | RepositoryError::StorageFull { reason }
        | RepositoryError::Overloaded { reason }
        | RepositoryError::Backend { reason, .. } => reason.clone(),
        error => error.to_string(),
    };
    RepositoryError::invalid(
        "/persistence/fallback/journal_path",
        format!(
            "the journal cannot be used: {reason}; otherwise write another folder there, or \
             persistence.fallback.mode: refuse"
        ),
    )
}
