//! The conformance suite on PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lcs_domain::{ConversationId, Durability, Repositories};
use lcs_storage::conformance::Harness;
use lcs_storage::migration::Migrations;
use lcs_storage::testing::TestPostgres;

use crate::support::store;

struct PostgresHarness(TestPostgres);

impl PostgresHarness {
    async fn new() -> Self {
        let database = TestPostgres::create().await;
        store(database.url()).await.run_pending().await.unwrap();
        Self(database)
    }
}

#[async_trait]
impl Harness for PostgresHarness {
    async fn open(&self) -> Arc<dyn Repositories> {
        Arc::new(store(self.0.url()).await)
    }

    async fn age(&self, conversation: ConversationId, by: Duration) {
        let micros = by.as_micros();
        self.0
            .execute(&format!(
                "UPDATE conversations SET updated_at = updated_at - {micros} * interval '1 microsecond'
                 WHERE conversation_id = '{conversation}'"
            ))
            .await;
    }

    fn durability(&self) -> Durability {
        Durability::Durable
    }
}

lcs_storage::conformance_suite!(PostgresHarness::new().await);
