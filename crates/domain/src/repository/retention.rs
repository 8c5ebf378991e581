//! The operator's port for retention.

use async_trait::async_trait;

use super::RepositoryResult;
use crate::{PageLimit, PurgeReport, RetentionPolicy};

/// Removes what may be removed, of all users.
#[async_trait]
pub trait RetentionRepository: Send + Sync {
    /// How many conversations the policy would have purged if they were looked at now.
    async fn count_due(&self, policy: RetentionPolicy) -> RepositoryResult<u64>;

    /// Removes up to `limit` conversations that the policy allows to go, each with its turns, its agent's
    /// state and its user's requests to it, and leaves a tombstone for each (P6).
    ///
    /// Whether a conversation may go is decided under its lock: one that has just woken up is kept (P7),
    /// one that is locked by somebody else is passed over. One cleaner is at it at a time: another one may be
    /// told that the store is `busy`, and can leave the work to the first.
    async fn purge_batch(&self, policy: RetentionPolicy, limit: PageLimit) -> RepositoryResult<PurgeReport>;

    /// Removes up to `limit` requests that came to no answer, and says how many: those whose leases ended
    /// more than [`ABANDONED_AFTER`](crate::retention::ABANDONED_AFTER) ago and whose turns are not stored.
    async fn purge_requests(&self, limit: PageLimit) -> RepositoryResult<u64>;
}
