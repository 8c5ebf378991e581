//! The operator's port for retention.

use async_trait::async_trait;

use super::RepositoryResult;
use crate::{PageLimit, PurgeReport, RetentionPolicy};

/// Removes what may be removed, of all users.
#[async_trait]
pub trait RetentionRepository: Send + Sync {
    /// How many conversations the policy would have purged if they were looked at now.
    async fn count_due(&self, policy: RetentionPolicy) -> RepositoryResult<u64>;

    /// Removes up to `limit` conversations that the policy allows to go, each with its turns and its
    /// agent's state, and leaves a tombstone for each (P6).
    ///
    /// Whether a conversation may go is decided under its lock: one that has just woken up is kept (P7),
    /// one that is locked by somebody else is passed over. Two cleaners at once share the work.
    async fn purge_batch(&self, policy: RetentionPolicy, limit: PageLimit) -> RepositoryResult<PurgeReport>;
}
