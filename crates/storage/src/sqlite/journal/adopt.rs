//! Taking over what a process left that is gone: what is journaled need not wait for the next start.
//!
//! Entries are copied into the own journal before they are forgotten where they were. Stopped in between, they
//! are in both, and are replayed twice: that comes to the same, as with every replay.

use std::sync::Arc;

use lcs_domain::journal::{JournalEntry, JournalStatus};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{PageLimit, RepositoryError};

use super::super::database::{Database, blocking};
use super::slot::Claim;
use super::tally::Tally;
use super::{AGAIN, Inner, SqliteJournal, config, table};
use crate::journal::record;

/// Entries that are copied in one commit.
const AT_ONCE: u32 = 16;

impl SqliteJournal {
    /// Takes over the entries of journals in the same folder that no process has: how many they were. Conflicts
    /// stay where they are, and so does what cannot be read with all that is behind it.
    ///
    /// # Errors
    /// `Overloaded` where they do not all fit, and what else a journal answers: the rest is where it was.
    #[tracing::instrument(name = "db.journal.adopt", skip_all)]
    pub async fn adopt(&self) -> RepositoryResult<u64> {
        let own = self.file().to_owned();
        let mut adopted = 0;
        for claim in blocking(move || Claim::left_behind(&own)).await? {
            let (taken, rest) = self.0.take_over(&claim).await;
            if taken > 0 {
                let (file, from) = (self.file().display(), claim.file().display());
                tracing::info!(%file, %from, entries = taken, "took over the journal of a process that is gone");
            }
            adopted += taken;
            match rest {
                Ok(()) => {}
                // `doctor` and the log of the next start name it; the others are not kept waiting for it.
                Err(error @ RepositoryError::Inconsistent { .. }) => {
                    tracing::debug!(%error, file = %claim.file().display(), "a journal of a process that is gone");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(adopted)
    }
}

impl Inner {
    /// Takes what `claim` holds, oldest first: how many, and why not the rest.
    async fn take_over(self: &Arc<Self>, claim: &Claim) -> (u64, RepositoryResult<()>) {
        let mut taken = 0;
        let database = match Database::open(config(claim.file()), Arc::clone(&self.clock)).await {
            Ok(database) => database,
            Err(error) => return (0, Err(error)),
        };
        loop {
            match self.take_some(&database).await {
                Ok(0) => return (taken, Ok(())),
                Ok(some) => taken += some,
                Err(error) => return (taken, Err(error)),
            }
        }
    }

    async fn take_some(self: &Arc<Self>, from: &Database) -> RepositoryResult<u64> {
        let limit = PageLimit::new(AT_ONCE)?;
        let stored = from.read(move |connection| {
            let stored = table::stored_entries(connection, 0, limit)?;
            Ok(stored.into_iter().map(|stored| stored.read().entry).collect::<Vec<_>>())
        });
        let (mut entries, mut unreadable) = (Vec::new(), None);
        for entry in stored.await? {
            match entry {
                Ok(entry) => entries.push(entry),
                Err(error) => {
                    unreadable = Some(error);
                    break;
                }
            }
        }
        if let Some(error) = unreadable.filter(|_| entries.is_empty()) {
            return Err(error);
        }
        let sequences: Vec<u64> = entries.iter().map(|entry| entry.sequence).collect();
        let taken = sequences.len() as u64;
        if taken == 0 {
            return Ok(0);
        }
        let limits = self.limits;
        let copied = self.write(AGAIN, move |connection, tally, now| {
            for JournalEntry { user_id, recorded_at, operation, .. } in entries {
                let operation = record::encode(&operation)?;
                // How old they are is no reason to leave them: they are on their way into the database.
                let status = JournalStatus { oldest: None, ..tally.status() };
                limits.check(&status, now, operation.len() as u64)?;
                table::insert(connection, tally, user_id, &operation, recorded_at)?;
            }
            Ok(())
        });
        copied.await?;
        let forgotten = from.write(AGAIN, move |connection, _| {
            for sequence in sequences {
                table::remove(connection, &mut Tally::default(), sequence)?;
            }
            Ok(())
        });
        forgotten.await?;
        Ok(taken)
    }
}
