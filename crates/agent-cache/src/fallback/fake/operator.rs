//! What the fake answers to an operator: nothing is there.

use async_trait::async_trait;
use lcs_domain::audit::AuditHead;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, AuditQuery, AuditRecord, AuditRepository, Entity, Hold, HoldId, HoldRepository, HoldTarget,
    NewAuditEvent, NewHold, NewRetentionOverride, PageLimit, RepositoryError, RetentionOverride,
    RetentionOverrideRepository, UserId,
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
