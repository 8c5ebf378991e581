//! Diagnosis in memory: what could be wrong with a database cannot be with one value under one lock.

use async_trait::async_trait;
use lcs_domain::DiagnosticRepository;
use lcs_domain::diagnostic::Finding;
use lcs_domain::repository::RepositoryResult;

use super::Memory;

#[async_trait]
impl DiagnosticRepository for Memory {
    #[tracing::instrument(name = "db.diagnostic.diagnose", skip_all)]
    async fn diagnose(&self) -> RepositoryResult<Vec<Finding>> {
        let conversations = self.tables().conversations.len();
        Ok(vec![
            Finding::ok("schema", "the memory store has none"),
            Finding::ok("pool", "the memory store has none"),
            Finding::ok("orphaned_turns", "turns are kept inside their conversation"),
            Finding::ok("turn_heads", format!("{conversations} conversations, changed under one lock")),
            Finding::ok("duplicate_conversations", "external ids are checked under the same lock"),
            Finding::ok("agent_states", "states are kept inside their conversation"),
            Finding::ok("indexes", "the memory store has none"),
        ])
    }
}
