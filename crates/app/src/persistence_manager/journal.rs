//! The journal of this process: opened before anything else, and watched for what others decide about it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use lcs_agent_cache::Fallback;
use lcs_agent_cache::fallback::FallbackConfig;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{Clock, JournalRepository, Repositories, RepositoryError};
use lcs_storage::sqlite::SqliteJournal;
use tokio::time::{MissedTickBehavior, interval};

use crate::configuration::JournalConfiguration;

/// How often it is looked whether an operator has decided about a conflict from the command line.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

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
    let fallback = Fallback::with_journal(store, memory, config, Arc::clone(&port)).await;
    let fallback = Arc::new(fallback.map_err(|error| unusable(&error))?);
    watch(Arc::downgrade(&fallback), Arc::downgrade(&port));
    Ok(fallback)
}

/// Looks again and again, for as long as there is a fallback. In between it keeps neither of them, and so not
/// the journal's lock.
fn watch(fallback: Weak<Fallback>, journal: Weak<dyn JournalRepository>) {
    tokio::spawn(async move {
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let (Some(fallback), Some(journal)) = (fallback.upgrade(), journal.upgrade()) else { return };
            // Each decision makes them one more or one less.
            let looked = match journal.status().await {
                Ok(status) if status.conflicts == fallback.status().backlog.conflicts => Ok(()),
                Ok(_) => fallback.look_again().await,
                Err(error) => Err(error),
            };
            if let Err(error) = looked {
                tracing::warn!(%error, "the journal could not be looked at");
            }
        }
    });
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
        "/fallback/journal_path",
        format!("the journal cannot be used: {reason}; or write another folder, or fallback.mode refuse"),
    )
}
