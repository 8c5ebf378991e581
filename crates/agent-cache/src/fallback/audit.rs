//! The audit log through the fallback: it is the primary's alone. What cannot be recorded there is said to be.

#![deny(clippy::missing_trait_methods)]

use async_trait::async_trait;
use lcs_domain::audit::AuditHead;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{AuditQuery, AuditRecord, AuditRepository, NewAuditEvent};

use super::Fallback;

/// What a refused operator is told.
const REFUSED: &str = "the audit log can be neither written nor read before, try again then";

#[async_trait]
impl AuditRepository for Fallback {
    async fn record(&self, event: NewAuditEvent) -> RepositoryResult<()> {
        self.of_primary(REFUSED, self.primary.audit().record(event)).await
    }

    async fn records(&self, query: AuditQuery) -> RepositoryResult<Vec<AuditRecord>> {
        self.of_primary(REFUSED, self.primary.audit().records(query)).await
    }

    async fn chain_head(&self) -> RepositoryResult<AuditHead> {
        self.of_primary(REFUSED, self.primary.audit().chain_head()).await
    }
}
