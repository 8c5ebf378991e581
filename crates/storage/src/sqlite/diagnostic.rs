//! What `doctor` asks of a SQLite file.

use async_trait::async_trait;
use lcs_domain::DiagnosticRepository;
use lcs_domain::diagnostic::Finding;
use lcs_domain::repository::RepositoryResult;

use super::Sqlite;

#[async_trait]
impl DiagnosticRepository for Sqlite {
    #[tracing::instrument(name = "db.diagnostic.diagnose", skip_all)]
    async fn diagnose(&self) -> RepositoryResult<Vec<Finding>> {
        Ok(Vec::new())
    }
}
