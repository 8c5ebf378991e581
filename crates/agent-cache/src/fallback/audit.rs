//! The audit log through the fallback: it is the primary's alone. What cannot be recorded there is said to be.

#![deny(clippy::missing_trait_methods)]

use async_trait::async_trait;
use lcs_domain::audit::AuditHead;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{AuditQuery, AuditRecord, AuditRepository, NewAuditEvent};

use super::Fallback;
use super::route::{Route, Subject};

/// What a refused operator is told.
const REFUSED: &str = "the audit log can be neither written nor read before, try again then";

#[async_trait]
impl AuditRepository for Fallback {
    async fn record(&self, event: NewAuditEvent) -> RepositoryResult<()> {
        match self.circuit.route(Subject::Everything).await? {
            Route::Primary(epoch) => self.watched(epoch, self.primary.audit().record(event)).await,
            Route::Outage(outage) => Err(outage.refusal(REFUSED)),
        }
    }

    async fn records(&self, query: AuditQuery) -> RepositoryResult<Vec<AuditRecord>> {
        match self.circuit.route(Subject::Everything).await? {
            Route::Primary(epoch) => self.watched(epoch, self.primary.audit().records(query)).await,
            Route::Outage(outage) => Err(outage.refusal(REFUSED)),
        }
    }

    async fn chain_head(&self) -> RepositoryResult<AuditHead> {
        match self.circuit.route(Subject::Everything).await? {
            Route::Primary(epoch) => self.watched(epoch, self.primary.audit().chain_head()).await,
            Route::Outage(outage) => Err(outage.refusal(REFUSED)),
        }
    }
}
