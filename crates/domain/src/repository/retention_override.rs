//! The operator's port for users whose conversations are kept for another time than all others'.

use async_trait::async_trait;

use super::RepositoryResult;
use crate::retention::{NewRetentionOverride, RetentionOverride};
use crate::{Actor, PageLimit, UserId};

/// Says how long single users' conversations are kept, and records it.
#[async_trait]
pub trait RetentionOverrideRepository: Send + Sync {
    /// Sets how long this user's conversations are kept, in place of what was set before.
    async fn set_override(&self, new: NewRetentionOverride) -> RepositoryResult<RetentionOverride>;

    /// Takes a user's own retention back, and gives what it was; `None` where there was none.
    async fn remove_override(
        &self,
        user_id: UserId,
        by: Actor,
    ) -> RepositoryResult<Option<RetentionOverride>>;

    /// The users who have one, those behind `after`, ordered by id.
    async fn overrides(
        &self,
        after: Option<UserId>,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<RetentionOverride>>;
}
