//! The operator's ports, timed.

use async_trait::async_trait;
use lcs_domain::audit::AuditHead;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{AuditQuery, AuditRecord, AuditRepository, NewAuditEvent};

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
