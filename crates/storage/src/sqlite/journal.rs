//! The local journal in a SQLite file: what the fallback writes while the database is away.
//!
//! Its file is a database of the embedded store's schema whose other tables stay empty: the same pool, the
//! same writer, the same synced log. What is acknowledged is on the disk.
//!
//! - **One process a file.** The journal's folder holds slots, each with a lock file ([`slot`]).
//! - **Group commit.** What arrives while a commit runs goes together in the next one ([`group`]).
//! - **Nothing waits for a start.** What a process left that is gone, one that runs takes over ([`adopt`]).
//! - **What is erased is not kept.** It goes unread, and is overwritten ([`erase`]).
//! - **Nothing is skipped.** A row that cannot be read is an error with its number, until an operator sets
//!   it aside ([`look`]).

mod adopt;
mod erase;
mod group;
mod look;
mod slot;
mod table;
mod tally;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::sqlite::SqliteConnection;
use lcs_domain::erasure::Erased;
use lcs_domain::journal::{
    ConflictResolution, JournalConflict, JournalEntry, JournalOperation, JournalStatus,
};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{Clock, JournalRepository, PageLimit, RepositoryError, UserId};
use tokio::time::timeout;

pub use self::erase::JournalMatches;
pub use self::look::{ConflictLine, JournalContent, JournalLine, JournalLook, JournalSlot};

use self::group::Queue;
use self::slot::Claim;
use self::tally::Tally;
use super::database::Database;
use super::error::Failure;
use super::{Sqlite, SqliteConfig};
use crate::journal::JournalLimits;
use crate::migration::Migrations;

/// The key of a write that may simply be done again.
const AGAIN: &str = "(it has none: just run it again)";

/// A journal in a slot of its folder, which is its own until the last clone is dropped. Cheap to clone.
#[derive(Clone)]
pub struct SqliteJournal(Arc<Inner>);

/// A journal that is not kept open by this.
#[derive(Clone)]
pub struct WeakJournal(Weak<Inner>);

impl fmt::Debug for WeakJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakJournal").finish_non_exhaustive()
    }
}

impl WeakJournal {
    /// The journal, where somebody keeps it open.
    #[must_use]
    pub fn upgrade(&self) -> Option<SqliteJournal> {
        self.0.upgrade().map(SqliteJournal)
    }
}

struct Inner {
    database: Database,
    clock: Arc<dyn Clock>,
    claim: Claim,
    limits: JournalLimits,
    tally: Mutex<Tally>,
    queue: Mutex<Queue>,
    /// Held while a group is committed.
    commits: tokio::sync::Mutex<()>,
}

impl fmt::Debug for SqliteJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteJournal").field("file", &self.0.claim.file()).finish_non_exhaustive()
    }
}

impl SqliteJournal {
    /// Opens a journal in a free slot of `folder`, which is made where it is missing: in the first one that
    /// holds entries of a process that is gone, else in the first. Other such slots are named in the log.
    ///
    /// It writes and syncs once: what cannot be written is found out here, not in an outage.
    ///
    /// # Errors
    /// `Unavailable`, `ReadOnly` and `StorageFull` where the folder is not usable; `Overloaded` where each of
    /// its slots is a running process's; `Backend` and `SchemaSkew` for a file that is no journal of ours.
    #[tracing::instrument(name = "db.journal.open", skip_all)]
    pub async fn open(
        folder: impl AsRef<Path>,
        limits: JournalLimits,
        clock: Arc<dyn Clock>,
    ) -> RepositoryResult<Self> {
        let folder = folder.as_ref().to_owned();
        let claim = super::database::blocking(move || Claim::take(&folder)).await?;
        let database = Database::open(config(claim.file()), Arc::clone(&clock)).await?;
        Sqlite { database: database.clone(), appends: None, purging: Arc::default(), actor: None }
            .run_pending()
            .await?;
        database.write(AGAIN, |connection, _| table::write_something(connection)).await?;
        let tally = Mutex::default();
        let (queue, commits) = (Mutex::default(), tokio::sync::Mutex::default());
        let journal = Self(Arc::new(Inner { database, clock, claim, limits, tally, queue, commits }));
        journal.status().await?;
        Ok(journal)
    }

    /// The same journal, without keeping it open.
    #[must_use]
    pub fn downgrade(&self) -> WeakJournal {
        WeakJournal(Arc::downgrade(&self.0))
    }

    /// How full it was when it was last used, without a look at the disk.
    #[must_use]
    pub fn last_status(&self) -> JournalStatus {
        self.0.tally().status()
    }

    /// Its file.
    #[must_use]
    pub fn file(&self) -> &Path {
        self.0.claim.file()
    }
}

/// How a journal's file is opened: it is asked by one reader, and a request waits for it.
fn config(file: &Path) -> SqliteConfig {
    SqliteConfig { readers: 1, pool_timeout: Duration::from_secs(5), ..SqliteConfig::file(file) }
}

impl Inner {
    /// Runs `work` as [`write_to_the_end`](Self::write_to_the_end) does, for a caller who does not wait for ever.
    async fn write<R, F>(self: &Arc<Self>, key: impl fmt::Display, work: F) -> RepositoryResult<R>
    where
        R: Send + 'static,
        F: FnOnce(&mut SqliteConnection, &mut Tally, DateTime<Utc>) -> Result<R, Failure> + Send + 'static,
    {
        let key = key.to_string();
        let written = timeout(self.limits.patience, self.write_to_the_end(key.clone(), work)).await;
        written.unwrap_or(Err(RepositoryError::OutcomeUnknown { key }))
    }

    /// Runs `work` on a reading connection, for a caller who does not wait for ever.
    async fn read<R, F>(&self, work: F) -> RepositoryResult<R>
    where
        R: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> Result<R, Failure> + Send + 'static,
    {
        let read = timeout(self.limits.patience, self.database.read(work)).await;
        read.unwrap_or_else(|_| Err(RepositoryError::unavailable(self.no_answer())))
    }

    /// Why nobody waits any longer.
    fn no_answer(&self) -> String {
        format!(
            "the journal's disk has not answered for {:?}: see whether it hangs, or whether another process \
             holds {}",
            self.limits.patience,
            self.claim.file().display()
        )
    }

    /// Runs `work` in one transaction and in a task of its own, which ends whatever becomes of the caller, so
    /// that what is counted is what was committed.
    async fn write_to_the_end<R, F>(self: &Arc<Self>, key: impl fmt::Display, work: F) -> RepositoryResult<R>
    where
        R: Send + 'static,
        F: FnOnce(&mut SqliteConnection, &mut Tally, DateTime<Utc>) -> Result<R, Failure> + Send + 'static,
    {
        let (inner, key) = (Arc::clone(self), key.to_string());
        let lost = key.clone();
        let written = tokio::spawn(async move {
            let own = Arc::clone(&inner);
            let result = inner.database.write(key, move |connection, now| {
                let mut tally = *own.tally();
                tally.refresh(connection)?;
                let value = work(connection, &mut tally, now)?;
                *own.tally() = tally;
                Ok(value)
            });
            let result = result.await;
            if result.is_err() {
                inner.tally().forget();
            }
            result
        });
        written.await.unwrap_or(Err(RepositoryError::OutcomeUnknown { key: lost }))
    }

    fn tally(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl JournalRepository for SqliteJournal {
    #[tracing::instrument(
        name = "db.journal.record", skip_all,
        fields(%user_id, conversation_id = %operation.conversation_id(), kind = %operation.kind())
    )]
    async fn record(&self, user_id: UserId, operation: JournalOperation) -> RepositoryResult<JournalEntry> {
        self.0.record(user_id, operation).await
    }

    #[tracing::instrument(name = "db.journal.pending", skip(self))]
    async fn pending(&self, after: u64, limit: PageLimit) -> RepositoryResult<Vec<JournalEntry>> {
        self.0.read(move |connection| table::entries(connection, after, limit)).await
    }

    #[tracing::instrument(name = "db.journal.settle", skip_all, fields(entries = sequences.len()))]
    async fn settle(&self, sequences: &[u64]) -> RepositoryResult<()> {
        let sequences = sequences.to_vec();
        let settled = self.0.write(AGAIN, move |connection, tally, _| {
            for sequence in sequences {
                table::remove(connection, tally, sequence)?;
            }
            Ok(tally.look_for_oldest(connection)?)
        });
        settled.await
    }

    #[tracing::instrument(name = "db.journal.refuse", skip(self, reason))]
    async fn refuse(&self, sequence: u64, reason: &str) -> RepositoryResult<()> {
        let reason = reason.to_owned();
        let refused = self.0.write(AGAIN, move |connection, tally, now| {
            table::refuse(connection, tally, sequence, &reason, now).map(drop)
        });
        refused.await
    }

    #[tracing::instrument(name = "db.journal.refuse_agent_state", skip(self, reason))]
    async fn refuse_agent_state(&self, sequence: u64, reason: &str) -> RepositoryResult<()> {
        let reason = reason.to_owned();
        let refused = self.0.write(AGAIN, move |connection, tally, now| {
            table::refuse_agent_state(connection, tally, sequence, &reason, now)
        });
        refused.await
    }

    #[tracing::instrument(name = "db.journal.note_tried", skip(self))]
    async fn note_tried(&self, sequence: u64, tried_on: DateTime<Utc>) -> RepositoryResult<()> {
        let noted = self.0.write(AGAIN, move |connection, tally, _| {
            table::note_tried(connection, tally, sequence, tried_on)
        });
        noted.await
    }

    #[tracing::instrument(name = "db.journal.conflicts", skip(self))]
    async fn conflicts(&self, after: u64, limit: PageLimit) -> RepositoryResult<Vec<JournalConflict>> {
        self.0.read(move |connection| table::conflicts(connection, after, limit)).await
    }

    #[tracing::instrument(name = "db.journal.resolve", skip(self))]
    async fn resolve(&self, sequence: u64, resolution: ConflictResolution) -> RepositoryResult<bool> {
        let resolved = self.0.write(AGAIN, move |connection, tally, _| {
            table::resolve(connection, tally, sequence, resolution)
        });
        resolved.await
    }

    fn now(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }

    #[tracing::instrument(name = "db.journal.erase", skip_all)]
    async fn erase(&self, erased: &Erased) -> RepositoryResult<Vec<u64>> {
        self.0.erase(erased.clone()).await
    }

    /// Also of what another process, such as the command line, did to it meanwhile.
    #[tracing::instrument(name = "db.journal.status", skip_all)]
    async fn status(&self) -> RepositoryResult<JournalStatus> {
        let commits = timeout(self.0.limits.patience, self.0.commits.lock()).await;
        let _commits = commits.map_err(|_| RepositoryError::unavailable(self.0.no_answer()))?;
        self.0.write(AGAIN, |_, tally, _| Ok(tally.status())).await
    }
}
