//! Users' own retention through the fallback: it is the primary's alone.

#![deny(clippy::missing_trait_methods)]

use async_trait::async_trait;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, NewRetentionOverride, PageLimit, RetentionOverride, RetentionOverrideRepository, UserId,
};

use super::Fallback;
use super::route::{Route, Subject};

/// What a refused operator is told.
const REFUSED: &str = "nothing can be set before, try again then";

#[async_trait]
impl RetentionOverrideRepository for Fallback {
    async fn set_override(&self, new: NewRetentionOverride) -> RepositoryResult<RetentionOverride> {
        match self.circuit.route(Subject::Everything).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.retention_overrides().set_override(new)).await
            }
            Route::Outage(outage) => Err(outage.refusal(REFUSED)),
        }
    }

    async fn remove_override(
        &self,
        user_id: UserId,
        by: Actor,
    ) -> RepositoryResult<Option<RetentionOverride>> {
        match self.circuit.route(Subject::Everything).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.retention_overrides().remove_override(user_id, by)).await
            }
            Route::Outage(outage) => Err(outage.refusal(REFUSED)),
        }
    }

    async fn overrides(
        &self,
        after: Option<UserId>,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<RetentionOverride>> {
        match self.circuit.route(Subject::Everything).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.retention_overrides().overrides(after, limit)).await
            }
            Route::Outage(outage) => Err(outage.refusal(REFUSED)),
        }
    }
}
