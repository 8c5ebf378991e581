//! What the fake answers to an operator: nothing is there.

use async_trait::async_trait;
use lcs_domain::analytics::{Tally, UserFigures};
use lcs_domain::audit::AuditHead;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, Analytics, AnalyticsRepository, AnalyticsWindow, AuditQuery, AuditRecord, AuditRepository,
    DatabaseStatus, Entity, Hold, HoldId, HoldRepository, HoldTarget, NewAuditEvent, NewHold,
    NewRetentionOverride, PageLimit, Repositories as _, RepositoryError, RetentionOverride,
    RetentionOverrideRepository, RetentionPolicy, UserId,
};

use super::Fake;

#[async_trait]
impl AuditRepository for Fake {
    async fn record(&self, _: NewAuditEvent) -> RepositoryResult<()> {
        self.enter().await.map(drop)
    }

    async fn records(&self, _: AuditQuery) -> RepositoryResult<Vec<AuditRecord>> {
        self.enter().await.map(|_| Vec::new())
    }

    async fn chain_head(&self) -> RepositoryResult<AuditHead> {
        self.enter().await.map(|_| AuditHead::default())
    }
}

#[async_trait]
impl HoldRepository for Fake {
    async fn place(&self, _: NewHold) -> RepositoryResult<Hold> {
        self.enter().await.map(drop)?;
        Err(RepositoryError::not_found(Entity::Conversation))
    }

    async fn release(&self, _: HoldId, _: Actor) -> RepositoryResult<Option<Hold>> {
        self.enter().await.map(|_| None)
    }

    async fn list_holds(&self, _: Option<HoldId>, _: PageLimit) -> RepositoryResult<Vec<Hold>> {
        self.enter().await.map(|_| Vec::new())
    }

    async fn holding(&self, _: HoldTarget) -> RepositoryResult<Vec<Hold>> {
        self.enter().await.map(|_| Vec::new())
    }
}

#[async_trait]
impl RetentionOverrideRepository for Fake {
    async fn set_override(&self, _: NewRetentionOverride) -> RepositoryResult<RetentionOverride> {
        self.enter().await.map(drop)?;
        Err(RepositoryError::not_found(Entity::Conversation))
    }

    async fn remove_override(&self, _: UserId, _: Actor) -> RepositoryResult<Option<RetentionOverride>> {
        self.enter().await.map(|_| None)
    }

    async fn overrides(&self, _: Option<UserId>, _: PageLimit) -> RepositoryResult<Vec<RetentionOverride>> {
        self.enter().await.map(|_| Vec::new())
    }
}

#[async_trait]
impl AnalyticsRepository for Fake {
    async fn analyze(&self, window: AnalyticsWindow, policy: RetentionPolicy) -> RepositoryResult<Analytics> {
        let users = UserFigures { total: 0, active: 0, at_least: false };
        Ok(Tally::new(window, policy, chrono::DateTime::UNIX_EPOCH).finish(1.0, 1.0, users))
    }

    async fn database_status(&self) -> RepositoryResult<DatabaseStatus> {
        Ok(DatabaseStatus { backend: self.capabilities().backend, ..DatabaseStatus::default() })
    }
}
