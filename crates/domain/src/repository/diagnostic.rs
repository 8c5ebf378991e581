//! The operator's port for looking into a store's health.

use async_trait::async_trait;

use super::RepositoryResult;
use crate::diagnostic::Finding;

/// Checks what must hold of the stored rows, of all users.
#[async_trait]
pub trait DiagnosticRepository: Send + Sync {
    /// Every check and what it found, those that found nothing wrong too. Changes nothing.
    ///
    /// The checks' names are the same on every store: `schema`, `pool`, `orphaned_turns`,
    /// `turn_heads` (a head that disagrees with its turns), `duplicate_conversations` (of one external
    /// id), `agent_states` (a state that disagrees with its conversation), `indexes`. A store may add its own.
    async fn diagnose(&self) -> RepositoryResult<Vec<Finding>>;
}
