//! The PostgreSQL store through a PgBouncer in session mode, a database for each test.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lcs_domain::{ConversationId, Durability, Repositories, RequestId};
use lcs_storage::conformance::Harness;
use lcs_storage::postgres::{Pooler, Postgres, PostgresConfig};
use lcs_storage::testing::TestPooler;

use crate::postgres::PostgresHarness;

struct PooledHarness {
    direct: PostgresHarness,
    pooler: TestPooler,
}

impl PooledHarness {
    async fn new() -> Self {
        let direct = PostgresHarness::new().await;
        let pooler = TestPooler::before(direct.database(), &["pool_mode = session"]).await;
        Self { direct, pooler }
    }
}

#[async_trait]
impl Harness for PooledHarness {
    async fn open(&self) -> Arc<dyn Repositories> {
        let config = PostgresConfig {
            host: "127.0.0.1".into(),
            port: self.pooler.port(),
            pooler: Pooler::Session,
            pool_size: 8,
            max_overflow: 0,
            ..PostgresConfig::from_url(self.direct.database().url()).unwrap()
        };
        Arc::new(Postgres::connect(config).await.unwrap())
    }

    async fn age(&self, conversation: ConversationId, by: Duration) {
        self.direct.age(conversation, by).await;
    }

    async fn age_request(&self, request: RequestId, by: Duration) {
        self.direct.age_request(request, by).await;
    }

    fn durability(&self) -> Durability {
        Durability::Durable
    }
}

lcs_storage::conformance_suite!(PooledHarness::new().await);
