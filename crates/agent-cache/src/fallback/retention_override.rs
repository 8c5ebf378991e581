//! Users' own retention through the fallback: it is the primary's alone.

#![deny(clippy::missing_trait_methods)]

use async_trait::async_trait;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, NewRetentionOverride, PageLimit, RetentionOverride, RetentionOverrideRepository, UserId,
};

use super::Fallback;

/// What a refused operator is told.
const REFUSED: &str = "nothing can be set before, try again then";

#[async_trait]
impl RetentionOverrideRepository for Fallback {
    async fn set_override(&self, new: NewRetentionOverride) -> RepositoryResult<RetentionOverride> {
        self.of_primary(REFUSED, self.primary.retention_overrides().set_override(new)).await
    }

    async fn remove_override(
        &self,
        user_id: UserId,
        by: Actor,
    ) -> RepositoryResult<Option<RetentionOverride>> {
        self.of_primary(REFUSED, self.primary.retention_overrides().remove_override(user_id, by)).await
    }

    async fn overrides(
        &self,
        after: Option<UserId>,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<RetentionOverride>> {
        self.of_primary(REFUSED, self.primary.retention_overrides().overrides(after, limit)).await
    }
}
