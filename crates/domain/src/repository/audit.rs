//! The operator's port for the audit log.

use async_trait::async_trait;

use super::RepositoryResult;
use crate::audit::{AuditHead, AuditQuery, AuditRecord, NewAuditEvent};

/// Writes and reads the audit log. Nothing changes or removes what stands in it.
///
/// What a store does by itself it records in the transaction that does it: a user's delete of a conversation,
/// each batch that retention removes.
#[async_trait]
pub trait AuditRepository: Send + Sync {
    /// Records that something happened, behind all that was recorded before. It is stored when this
    /// returns; where an answer was lost and the call is made again, it may stand there twice.
    async fn record(&self, event: NewAuditEvent) -> RepositoryResult<()>;

    /// The rows that are asked for, in their order.
    async fn records(&self, query: AuditQuery) -> RepositoryResult<Vec<AuditRecord>>;

    /// The end of the chain.
    async fn chain_head(&self) -> RepositoryResult<AuditHead>;
}
