//! The port for the local journal that the fallback writes while the database is gone.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::RepositoryResult;
use crate::erasure::Erased;
use crate::journal::{ConflictResolution, JournalConflict, JournalEntry, JournalOperation, JournalStatus};
use crate::{PageLimit, UserId};

/// A journal of operations, on a disk of this machine. One process writes it at a time.
#[async_trait]
pub trait JournalRepository: Send + Sync {
    /// Takes an operation. `Ok` means that it is on the disk and survives the process and the machine's
    /// power: only then may it be acknowledged.
    ///
    /// # Errors
    /// `Overloaded` where the journal holds as many entries or bytes as it may, its oldest entry is too
    /// old, or too much waits for its disk, or for too long; `StorageFull`, `ReadOnly` and `Unavailable` where its disk is. In all of them nothing was taken,
    /// but for `OutcomeUnknown`.
    async fn record(&self, user_id: UserId, operation: JournalOperation) -> RepositoryResult<JournalEntry>;

    /// Entries behind `after`, oldest first; 0 is before all of them.
    async fn pending(&self, after: u64, limit: PageLimit) -> RepositoryResult<Vec<JournalEntry>>;

    /// Forgets entries that are in the database now. Those that are not there any more are passed over.
    async fn settle(&self, sequences: &[u64]) -> RepositoryResult<()>;

    /// Makes an entry a conflict: whole or not at all, and nothing where it is not an entry any more.
    async fn refuse(&self, sequence: u64, reason: &str) -> RepositoryResult<()>;

    /// Makes the agent state of an appending entry a conflict of its own, of kind
    /// [`Save`](crate::journal::JournalKind::Save) under a new sequence number, and leaves the entry without
    /// it: both or neither. Nothing happens where the entry has no agent state, or is not there any more.
    async fn refuse_agent_state(&self, sequence: u64, reason: &str) -> RepositoryResult<()>;

    /// Notes in an updating entry what it is about to be done to: see
    /// [`tried_on`](crate::journal::UpdateBase::tried_on). Nothing happens where it is not there any more.
    async fn note_tried(&self, sequence: u64, tried_on: DateTime<Utc>) -> RepositoryResult<()>;

    /// Conflicts behind `after`, oldest first; 0 is before all of them.
    async fn conflicts(&self, after: u64, limit: PageLimit) -> RepositoryResult<Vec<JournalConflict>>;

    /// Does with a conflict what an operator decided. `false` where there is none of this number.
    async fn resolve(&self, sequence: u64, resolution: ConflictResolution) -> RepositoryResult<bool>;

    /// What time it is for the journal.
    fn now(&self) -> DateTime<Utc>;

    /// Forgets entries and conflicts that are erased, for good and unread, and gives the entries' numbers.
    async fn erase(&self, erased: &Erased) -> RepositoryResult<Vec<u64>>;

    /// How full it is. Whatever was on its way onto the disk before this was asked is there when it is answered,
    /// or will never be: also what [`record`](Self::record) said of that it is not known.
    async fn status(&self) -> RepositoryResult<JournalStatus>;
}
