//! How full the journal is, counted along with what is written, because counting rows takes time.
//!
//! Another process (the command line) may write the same file. SQLite's `data_version` tells: it changes on a
//! connection when another one has committed. Then, and after a write that failed, everything is counted anew.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use lcs_domain::journal::JournalStatus;

use super::super::limited::limited;
use super::super::schema::journal_entries::dsl;

/// The counts, and the version of the file that they are of.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    version: Option<i64>,
    status: JournalStatus,
}

impl Tally {
    /// How full the journal is.
    pub(super) fn status(&self) -> JournalStatus {
        self.status
    }

    /// What is known is in doubt.
    pub(super) fn forget(&mut self) {
        self.version = None;
    }

    /// Counts anew where another connection has written. For the writing connection only.
    pub(super) fn refresh(&mut self, connection: &mut SqliteConnection) -> QueryResult<()> {
        #[derive(QueryableByName)]
        struct Version {
            #[diesel(sql_type = BigInt)]
            data_version: i64,
        }
        let Version { data_version } = diesel::sql_query("PRAGMA data_version").get_result(connection)?;
        if self.version != Some(data_version) {
            self.status = count(connection)?;
            self.version = Some(data_version);
        }
        Ok(())
    }

    /// An entry came.
    pub(super) fn entry(&mut self, bytes: u64, recorded_at: DateTime<Utc>) {
        self.status.entries += 1;
        self.status.bytes += bytes;
        self.status.oldest.get_or_insert(recorded_at);
    }

    /// An entry went. Of several, [`look_for_oldest`](Self::look_for_oldest) comes after the last.
    pub(super) fn no_entry(&mut self, bytes: u64) {
        self.status.entries = self.status.entries.saturating_sub(1);
        self.status.bytes = self.status.bytes.saturating_sub(bytes);
    }

    /// An entry's record became shorter or longer.
    pub(super) fn resized(&mut self, before: u64, after: u64) {
        self.status.bytes = (self.status.bytes + after).saturating_sub(before);
    }

    /// A conflict came.
    pub(super) fn conflict(&mut self) {
        self.status.conflicts += 1;
    }

    /// A conflict went.
    pub(super) fn no_conflict(&mut self) {
        self.status.conflicts = self.status.conflicts.saturating_sub(1);
    }

    /// Reads when the oldest entry that is left was taken.
    pub(super) fn look_for_oldest(&mut self, connection: &mut SqliteConnection) -> QueryResult<()> {
        self.status.oldest = oldest(connection)?;
        Ok(())
    }
}

/// The counts as the tables have them.
pub(super) fn count(connection: &mut SqliteConnection) -> QueryResult<JournalStatus> {
    #[derive(QueryableByName)]
    struct Counts {
        #[diesel(sql_type = BigInt)]
        entries: i64,
        #[diesel(sql_type = BigInt)]
        bytes: i64,
        #[diesel(sql_type = BigInt)]
        conflicts: i64,
    }
    let counts: Counts = diesel::sql_query(
        "SELECT count(*) AS entries, coalesce(sum(length(operation)), 0) AS bytes, \
         (SELECT count(*) FROM journal_conflicts) AS conflicts FROM journal_entries",
    )
    .get_result(connection)?;
    Ok(JournalStatus {
        entries: counts.entries.unsigned_abs(),
        bytes: counts.bytes.unsigned_abs(),
        oldest: oldest(connection)?,
        conflicts: counts.conflicts.unsigned_abs(),
    })
}

fn oldest(connection: &mut SqliteConnection) -> QueryResult<Option<DateTime<Utc>>> {
    let oldest = dsl::journal_entries.select(dsl::recorded_at).order(dsl::sequence);
    let recorded_at: Option<i64> = limited(oldest, 1).get_result(connection).optional()?;
    Ok(recorded_at.and_then(DateTime::from_timestamp_micros))
}
