//! Users' own retention in memory.

use std::ops::Bound;

use async_trait::async_trait;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, NewRetentionOverride, PageLimit, RetentionOverride, RetentionOverrideRepository, UserId,
};

use super::Memory;
use crate::audit::override_event;

#[async_trait]
impl RetentionOverrideRepository for Memory {
    #[tracing::instrument(name = "db.retention_override.set_override", skip_all)]
    async fn set_override(&self, new: NewRetentionOverride) -> RepositoryResult<RetentionOverride> {
        let mut tables = self.tables();
        let now = self.clock.now();
        let (user_id, keep, set_by) = (new.user_id, new.keep, new.set_by.as_str().to_owned());
        let own = RetentionOverride { user_id, keep, set_by, set_at: now };
        tables.overrides.insert(user_id, own.clone());
        tables.record(override_event(new.set_by, user_id, Some(keep)), now);
        Ok(own)
    }

    #[tracing::instrument(name = "db.retention_override.remove_override", skip_all)]
    async fn remove_override(
        &self,
        user_id: UserId,
        by: Actor,
    ) -> RepositoryResult<Option<RetentionOverride>> {
        let mut tables = self.tables();
        let now = self.clock.now();
        let removed = tables.overrides.remove(&user_id);
        if removed.is_some() {
            tables.record(override_event(by, user_id, None), now);
        }
        Ok(removed)
    }

    #[tracing::instrument(name = "db.retention_override.overrides", skip_all)]
    async fn overrides(
        &self,
        after: Option<UserId>,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<RetentionOverride>> {
        let tables = self.tables();
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let behind = tables.overrides.range((from, Bound::Unbounded));
        Ok(behind.take(limit.get() as usize).map(|(_, own)| own.clone()).collect())
    }
}
