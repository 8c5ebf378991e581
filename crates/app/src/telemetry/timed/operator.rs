//! The operator's ports, timed.

use async_trait::async_trait;
use lcs_domain::audit::AuditHead;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, Analytics, AnalyticsRepository, AnalyticsWindow, AuditQuery, AuditRecord, AuditRepository,
    DatabaseStatus, Hold, HoldId, HoldRepository, HoldTarget, NewAuditEvent, NewHold, NewRetentionOverride,
    PageLimit, RetentionOverride, RetentionOverrideRepository, RetentionPolicy, UserId,
};

use super::{Timed, timed};

#[async_trait]
impl AuditRepository for Timed {
    async fn record(&self, event: NewAuditEvent) -> RepositoryResult<()> {
        timed("audit.record", self.0.audit().record(event)).await
    }

    async fn records(&self, query: AuditQuery) -> RepositoryResult<Vec<AuditRecord>> {
        timed("audit.records", self.0.audit().records(query)).await
    }

    async fn chain_head(&self) -> RepositoryResult<AuditHead> {
        timed("audit.chain_head", self.0.audit().chain_head()).await
    }
}

#[async_trait]
impl HoldRepository for Timed {
    async fn place(&self, hold: NewHold) -> RepositoryResult<Hold> {
        timed("hold.place", self.0.holds().place(hold)).await
    }

    async fn release(&self, hold_id: HoldId, released_by: Actor) -> RepositoryResult<Option<Hold>> {
        timed("hold.release", self.0.holds().release(hold_id, released_by)).await
    }

    async fn list_holds(&self, after: Option<HoldId>, limit: PageLimit) -> RepositoryResult<Vec<Hold>> {
        timed("hold.list_holds", self.0.holds().list_holds(after, limit)).await
    }

    async fn holding(&self, target: HoldTarget) -> RepositoryResult<Vec<Hold>> {
        timed("hold.holding", self.0.holds().holding(target)).await
    }
}

#[async_trait]
impl RetentionOverrideRepository for Timed {
    async fn set_override(&self, new: NewRetentionOverride) -> RepositoryResult<RetentionOverride> {
        timed("retention_override.set_override", self.0.retention_overrides().set_override(new)).await
    }

    async fn remove_override(
        &self,
        user_id: UserId,
        by: Actor,
    ) -> RepositoryResult<Option<RetentionOverride>> {
        timed("retention_override.remove_override", self.0.retention_overrides().remove_override(user_id, by))
            .await
    }

    async fn overrides(
        &self,
        after: Option<UserId>,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<RetentionOverride>> {
        timed("retention_override.overrides", self.0.retention_overrides().overrides(after, limit)).await
    }
}

#[async_trait]
impl AnalyticsRepository for Timed {
    async fn analyze(&self, window: AnalyticsWindow, policy: RetentionPolicy) -> RepositoryResult<Analytics> {
        timed("analytics.analyze", self.0.analytics().analyze(window, policy)).await
    }

    async fn database_status(&self) -> RepositoryResult<DatabaseStatus> {
        timed("analytics.database_status", self.0.analytics().database_status()).await
    }
}
