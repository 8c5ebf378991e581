//! The PostgreSQL store, on a database of its own for each test.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lcs_domain::{ConversationId, Durability, Repositories, RequestId};
use lcs_storage::conformance::Harness;
use lcs_storage::migration::Migrations;
use lcs_storage::postgres::{Postgres, PostgresConfig};
use lcs_storage::testing::TestPostgres;

pub(crate) struct PostgresHarness(pub(crate) TestPostgres);

impl PostgresHarness {
    pub(crate) async fn new() -> Self {
        let harness = Self(TestPostgres::create().await);
        harness.connect().await.run_pending().await.unwrap();
        harness
    }

    pub(crate) fn database(&self) -> &TestPostgres {
        &self.0
    }

    /// A store with a pool of its own: few connections, so that callers wait for them.
    async fn connect(&self) -> Postgres {
        let config = PostgresConfig::from_url(self.0.url()).unwrap();
        Postgres::connect(PostgresConfig { pool_size: 8, max_overflow: 0, ..config }).await.unwrap()
    }
}

#[async_trait]
impl Harness for PostgresHarness {
    async fn open(&self) -> Arc<dyn Repositories> {
        Arc::new(self.connect().await)
    }

    async fn age(&self, conversation: ConversationId, by: Duration) {
        let micros = by.as_micros();
        self.0
            .execute(&format!(
                "UPDATE conversations SET updated_at = updated_at - {micros} * interval '1 microsecond' \
                 WHERE conversation_id = '{conversation}'"
            ))
            .await;
    }

    async fn age_request(&self, request: RequestId, by: Duration) {
        let micros = by.as_micros();
        self.0
            .execute(&format!(
                "UPDATE requests SET lease_until = lease_until - {micros} * interval '1 microsecond' \
                 WHERE request_id = '{request}'"
            ))
            .await;
    }

    fn durability(&self) -> Durability {
        Durability::Durable
    }
}

lcs_storage::conformance_suite!(PostgresHarness::new().await);
