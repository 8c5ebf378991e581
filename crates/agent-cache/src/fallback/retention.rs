//! Retention through the fallback: it waits for the primary, and never touches what is volatile.

#![deny(clippy::missing_trait_methods)]

use async_trait::async_trait;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    ConversationId, Keeping, PageLimit, PurgeReport, RetentionPolicy, RetentionRepository, UserId,
};

use super::Fallback;
use super::route::{Route, Subject};

/// What a refused operator is told.
const REFUSED: &str = "nothing can be cleaned up before, try again then";

#[async_trait]
impl RetentionRepository for Fallback {
    async fn count_due(&self, policy: RetentionPolicy) -> RepositoryResult<u64> {
        match self.circuit.route(Subject::Everything).await? {
            Route::Primary(epoch) => self.watched(epoch, self.primary.retention().count_due(policy)).await,
            Route::Outage(outage) => Err(outage.refusal(REFUSED)),
        }
    }

    async fn count_held(&self, policy: RetentionPolicy) -> RepositoryResult<u64> {
        match self.circuit.route(Subject::Everything).await? {
            Route::Primary(epoch) => self.watched(epoch, self.primary.retention().count_held(policy)).await,
            Route::Outage(outage) => Err(outage.refusal(REFUSED)),
        }
    }

    async fn purge_batch(&self, policy: RetentionPolicy, limit: PageLimit) -> RepositoryResult<PurgeReport> {
        match self.circuit.route(Subject::Everything).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.retention().purge_batch(policy, limit)).await
            }
            Route::Outage(outage) => Err(outage.refusal(REFUSED)),
        }
    }
    async fn purge_requests(&self, limit: PageLimit) -> RepositoryResult<u64> {
        match self.circuit.route(Subject::Everything).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.retention().purge_requests(limit)).await
            }
            Route::Outage(outage) => Err(outage.refusal(REFUSED)),
        }
    }

    async fn keeping(
        &self,
        user_id: UserId,
        conversations: Vec<ConversationId>,
    ) -> RepositoryResult<Keeping> {
        match self.circuit.route(Subject::Everything).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.retention().keeping(user_id, conversations)).await
            }
            Route::Outage(outage) => Err(outage.refusal("what is kept how long cannot be known before")),
        }
    }
}
