//! Retention through the fallback: it waits for the primary, and never touches what is volatile.

#![deny(clippy::missing_trait_methods)]

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    ConversationId, Keeping, PageLimit, PurgeReport, RetentionPolicy, RetentionRepository, UserId,
};

use super::Fallback;

/// What a refused operator is told.
const REFUSED: &str = "nothing can be cleaned up before, try again then";

#[async_trait]
impl RetentionRepository for Fallback {
    async fn count_due(&self, policy: RetentionPolicy) -> RepositoryResult<u64> {
        self.of_primary(REFUSED, self.primary.retention().count_due(policy)).await
    }

    async fn count_held(&self, policy: RetentionPolicy) -> RepositoryResult<u64> {
        self.of_primary(REFUSED, self.primary.retention().count_held(policy)).await
    }

    async fn purge_batch(&self, policy: RetentionPolicy, limit: PageLimit) -> RepositoryResult<PurgeReport> {
        self.of_primary(REFUSED, self.primary.retention().purge_batch(policy, limit)).await
    }

    async fn take_turn(&self, count: u32, per_second: NonZeroU32) -> RepositoryResult<Duration> {
        self.of_primary(REFUSED, self.primary.retention().take_turn(count, per_second)).await
    }

    async fn purge_requests(&self, limit: PageLimit) -> RepositoryResult<u64> {
        self.of_primary(REFUSED, self.primary.retention().purge_requests(limit)).await
    }

    async fn keeping(
        &self,
        user_id: UserId,
        conversations: Vec<ConversationId>,
    ) -> RepositoryResult<Keeping> {
        self.of_primary(
            "what is kept how long cannot be known before",
            self.primary.retention().keeping(user_id, conversations),
        )
        .await
    }
}
