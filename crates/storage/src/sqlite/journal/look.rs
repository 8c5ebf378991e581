//! A look into journals from outside, for `doctor` and the command line, also while their process runs.
//!
//! No lock is taken: SQLite's own keeps both apart. What an operator decides here, the running process finds
//! in the file. A row that cannot be read is shown as such, where the process itself would stop at it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use diesel::sqlite::SqliteConnection;
use lcs_domain::journal::{ConflictResolution, JournalEntry, JournalKind, JournalStatus};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{Clock, ConversationId, PageLimit, RepositoryError, UserId};

use super::super::database::{Database, blocking};
use super::super::error::Failure;
use super::table::{Read, Stored};
use super::tally::{self, Tally};
use super::{AGAIN, config, slot, table};

/// A journal's file in its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalSlot {
    /// Its place in the folder, from 0.
    pub number: u32,
    /// The file.
    pub file: PathBuf,
    /// Whether a process has it. Where none has, its entries wait for one to take it.
    pub running: bool,
}

impl JournalSlot {
    /// The journals of `folder`; none where it is missing.
    ///
    /// # Errors
    /// `Unavailable` where the folder's disk knows no locks.
    pub async fn all(folder: impl AsRef<Path>) -> RepositoryResult<Vec<Self>> {
        let folder = folder.as_ref().to_owned();
        blocking(move || {
            let slots = slot::all(&folder)?.into_iter();
            Ok(slots.map(|(number, file, running)| Self { number, file, running }).collect())
        })
        .await
    }

    /// Opens it for a look.
    ///
    /// # Errors
    /// `Backend` where the file is damaged or no database; `Unavailable` where it cannot be opened.
    pub async fn look(&self, clock: Arc<dyn Clock>) -> RepositoryResult<JournalLook> {
        Ok(JournalLook { database: Database::open(config(&self.file), clock).await? })
    }
}

/// An operation as a list shows it: without any content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalLine {
    /// Its number.
    pub sequence: u64,
    /// How many bytes its record has.
    pub bytes: u64,
    /// What it is; else why it cannot be read.
    pub content: Result<JournalContent, String>,
}

/// What an operation is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalContent {
    /// Its kind.
    pub kind: JournalKind,
    /// Whose it is.
    pub user_id: UserId,
    /// The conversation that it is about.
    pub conversation_id: ConversationId,
    /// When it was taken.
    pub recorded_at: DateTime<Utc>,
}

impl From<Stored> for JournalLine {
    fn from(stored: Stored) -> Self {
        let Read { sequence, bytes, entry } = stored.read();
        let content = match entry {
            Ok(JournalEntry { user_id, recorded_at, operation, .. }) => Ok(JournalContent {
                kind: operation.kind(),
                user_id,
                conversation_id: operation.conversation_id(),
                recorded_at,
            }),
            Err(RepositoryError::Inconsistent { reason, .. }) => Err(reason),
            Err(error) => Err(error.to_string()),
        };
        Self { sequence, bytes, content }
    }
}

/// A conflict as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictLine {
    /// The operation.
    pub line: JournalLine,
    /// Why it was refused.
    pub reason: String,
    /// When; `None` where that cannot be read.
    pub refused_at: Option<DateTime<Utc>>,
}

/// A journal, opened for a look.
#[derive(Debug, Clone)]
pub struct JournalLook {
    pub(super) database: Database,
}

impl JournalLook {
    /// How full it is.
    pub async fn status(&self) -> RepositoryResult<JournalStatus> {
        self.database.read(|connection| Ok(tally::count(connection)?)).await
    }

    /// Entries behind `after`, oldest first.
    pub async fn entries(&self, after: u64, limit: PageLimit) -> RepositoryResult<Vec<JournalLine>> {
        let entries = self.database.read(move |connection| {
            let stored = table::stored_entries(connection, after, limit)?;
            Ok(stored.into_iter().map(JournalLine::from).collect())
        });
        entries.await
    }

    /// Conflicts behind `after`, oldest first.
    pub async fn conflicts(&self, after: u64, limit: PageLimit) -> RepositoryResult<Vec<ConflictLine>> {
        let conflicts = self.database.read(move |connection| {
            let stored = table::stored_conflicts(connection, after, limit)?.into_iter();
            Ok(stored
                .map(|(stored, reason, refused_at)| ConflictLine {
                    line: stored.into(),
                    reason,
                    refused_at: DateTime::from_timestamp_micros(refused_at),
                })
                .collect())
        });
        conflicts.await
    }

    /// Does with a conflict what an operator decided. `false` where there is none of this number.
    ///
    /// # Errors
    /// `Inconsistent` where it is to be tried again and cannot be read.
    pub async fn resolve(&self, sequence: u64, resolution: ConflictResolution) -> RepositoryResult<bool> {
        let resolved = self.database.write(AGAIN, move |connection: &mut SqliteConnection, _| {
            // The process that has the journal counts anew when it sees that the file has changed.
            table::resolve(connection, &mut Tally::default(), sequence, resolution)
        });
        resolved.await
    }

    /// Makes an entry that cannot be read a conflict, so that those behind it can be replayed. `false` where
    /// there is none of this number.
    ///
    /// # Errors
    /// `Invalid` where the entry can be read: it will be replayed.
    pub async fn set_aside(&self, sequence: u64) -> RepositoryResult<bool> {
        let set_aside =
            self.database.write(AGAIN, move |connection, now| match table::find(connection, sequence) {
                Ok(Some(_)) => {
                    let reason =
                        "the entry is sound and will be replayed: only what cannot be read is set aside";
                    Err(RepositoryError::invalid("/sequence", reason).into())
                }
                Ok(None) => Ok(false),
                Err(Failure::Refused(RepositoryError::Inconsistent { .. })) => {
                    table::refuse(connection, &mut Tally::default(), sequence, "it cannot be read", now)
                }
                Err(failure) => Err(failure),
            });
        set_aside.await
    }
}
