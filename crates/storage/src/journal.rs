//! What every journal shares: the record that an operation is kept as, and how much may be kept.

pub mod record;

use std::time::Duration;

use chrono::{DateTime, Utc};
use lcs_domain::RepositoryError;
use lcs_domain::journal::JournalStatus;

/// How much a journal takes before it says `Overloaded`, and how long its disk is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalLimits {
    /// Entries at most.
    pub max_entries: u64,
    /// Bytes of operations at most.
    pub max_bytes: u64,
    /// How old the oldest entry may be when another is taken.
    pub max_age: Duration,
    /// Operations that may wait in memory for the disk.
    pub max_waiting_entries: usize,
    /// How many bytes those may take, unless one alone takes more.
    pub max_waiting_bytes: usize,
    /// How long a caller waits for the disk.
    pub patience: Duration,
}

impl Default for JournalLimits {
    /// 100,000 entries, 256 MiB, a day; 1,024 entries and 64 MiB that wait, for ten seconds.
    fn default() -> Self {
        Self {
            max_entries: 100_000,
            max_bytes: 256 * 1024 * 1024,
            max_age: Duration::from_hours(24),
            max_waiting_entries: 1_024,
            max_waiting_bytes: 64 * 1024 * 1024,
            patience: Duration::from_secs(10),
        }
    }
}

impl JournalLimits {
    /// Refuses an entry of `bytes` in a journal that is as full as `status` says.
    ///
    /// # Errors
    /// `Overloaded`, with what is full and what to do.
    pub fn check(
        &self,
        status: &JournalStatus,
        now: DateTime<Utc>,
        bytes: u64,
    ) -> Result<(), RepositoryError> {
        let overloaded = |what: String, key: &str| {
            let reason = format!("{what}: bring the database back, or raise {key}");
            Err(RepositoryError::Overloaded { reason })
        };
        if status.entries >= self.max_entries {
            let what = format!("the journal holds {} entries, as many as it may", status.entries);
            return overloaded(what, "journal_max_entries");
        }
        if status.bytes.saturating_add(bytes) > self.max_bytes {
            let what = format!(
                "the journal holds {} of the {} bytes that it may, and {bytes} do not fit",
                status.bytes, self.max_bytes
            );
            return overloaded(what, "journal_max_bytes");
        }
        let age = status.oldest.and_then(|oldest| (now - oldest).to_std().ok()).unwrap_or_default();
        if age > self.max_age {
            let what = format!(
                "the journal's oldest entry is {} seconds old, older than the {} that it may be",
                age.as_secs(),
                self.max_age.as_secs()
            );
            return overloaded(what, "journal_max_age_seconds");
        }
        Ok(())
    }
}
