//! What the fake answers to an operator: nothing is there.

use async_trait::async_trait;
use lcs_domain::audit::AuditHead;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{AuditQuery, AuditRecord, AuditRepository, NewAuditEvent};

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
