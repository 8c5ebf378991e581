//! The PostgreSQL store with row-level security on, as the application's role; what concerns all users is done
//! as the operator's, as it has to be.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AgentStateRepository, AnalyticsRepository, ArchiveRepository, AuditRepository, BrowseRepository,
    Capabilities, ConversationId, ConversationRepository, DiagnosticRepository, Durability,
    ErasureRepository, HoldRepository, PoolStatus, Repositories, RequestId, RequestRepository,
    RetentionOverrideRepository, RetentionRepository, TransferRepository, TurnRepository,
};
use lcs_storage::conformance::Harness;
use lcs_storage::postgres::{Postgres, PostgresConfig};
use lcs_storage::testing::{Role, TestPostgres};

use crate::postgres::PostgresHarness;

struct SecuredHarness(PostgresHarness);

impl SecuredHarness {
    async fn new() -> Self {
        Self(PostgresHarness(TestPostgres::secured().await))
    }

    async fn connect(&self, role: Role) -> Postgres {
        let config = PostgresConfig::from_url(&self.0.0.url_of(role)).unwrap();
        let config = PostgresConfig { pool_size: 8, max_overflow: 0, row_level_security: true, ..config };
        Postgres::connect(config).await.unwrap()
    }
}

#[async_trait]
impl Harness for SecuredHarness {
    async fn open(&self) -> Arc<dyn Repositories> {
        let (application, operator) =
            (self.connect(Role::Application).await, self.connect(Role::Operator).await);
        Arc::new(Secured { application, operator })
    }

    async fn age(&self, conversation: ConversationId, by: Duration) {
        self.0.age(conversation, by).await;
    }

    async fn age_request(&self, request: RequestId, by: Duration) {
        self.0.age_request(request, by).await;
    }

    fn durability(&self) -> Durability {
        self.0.durability()
    }
}

struct Secured {
    application: Postgres,
    operator: Postgres,
}

#[async_trait]
impl Repositories for Secured {
    fn conversations(&self) -> &dyn ConversationRepository {
        &self.application
    }

    fn turns(&self) -> &dyn TurnRepository {
        &self.application
    }

    fn agent_states(&self) -> &dyn AgentStateRepository {
        &self.application
    }

    fn requests(&self) -> &dyn RequestRepository {
        &self.application
    }

    fn retention(&self) -> &dyn RetentionRepository {
        &self.operator
    }

    fn retention_overrides(&self) -> &dyn RetentionOverrideRepository {
        &self.operator
    }

    fn holds(&self) -> &dyn HoldRepository {
        &self.operator
    }

    fn erasures(&self) -> &dyn ErasureRepository {
        &self.operator
    }

    fn audit(&self) -> &dyn AuditRepository {
        &self.operator
    }

    fn browse(&self) -> &dyn BrowseRepository {
        &self.operator
    }

    fn transfers(&self) -> &dyn TransferRepository {
        &self.operator
    }

    fn archives(&self) -> &dyn ArchiveRepository {
        &self.operator
    }

    fn diagnostics(&self) -> &dyn DiagnosticRepository {
        &self.operator
    }

    fn analytics(&self) -> &dyn AnalyticsRepository {
        &self.operator
    }

    async fn ping(&self) -> RepositoryResult<()> {
        self.application.ping().await
    }

    fn capabilities(&self) -> Capabilities {
        self.application.capabilities()
    }

    fn pool_status(&self) -> Option<PoolStatus> {
        self.application.pool_status()
    }
}

lcs_storage::conformance_suite!(SecuredHarness::new().await);
