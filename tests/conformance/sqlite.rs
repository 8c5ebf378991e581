//! The SQLite store, on a file of its own for each test.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use lcs_domain::{ConversationId, Durability, Repositories, RequestId, SystemClock};
use lcs_storage::conformance::Harness;
use lcs_storage::migration::Migrations;
use lcs_storage::sqlite::{Sqlite, SqliteConfig};
use tempfile::TempDir;

pub(crate) struct SqliteHarness(TempDir);

impl SqliteHarness {
    pub(crate) async fn new() -> Self {
        let harness = Self(tempfile::tempdir().unwrap());
        harness.connect().await.run_pending().await.unwrap();
        harness
    }

    /// A store with connections of its own, as another process has them.
    async fn connect(&self) -> Sqlite {
        let patience = Duration::from_mins(2);
        let config = SqliteConfig {
            busy_timeout: patience,
            pool_timeout: patience,
            ..SqliteConfig::file(self.0.path().join("conversations.db"))
        };
        Sqlite::open(config, Arc::new(SystemClock)).await.unwrap()
    }

    /// Runs `sql` behind the store.
    fn execute(&self, sql: &str) {
        let file = self.0.path().join("conversations.db");
        let mut connection = SqliteConnection::establish(file.to_str().unwrap()).unwrap();
        connection.batch_execute(&format!("PRAGMA busy_timeout = 10000; {sql}")).unwrap();
    }
}

#[async_trait]
impl Harness for SqliteHarness {
    async fn open(&self) -> Arc<dyn Repositories> {
        Arc::new(self.connect().await)
    }

    async fn age(&self, conversation: ConversationId, by: Duration) {
        let (micros, id) = (by.as_micros(), conversation.as_uuid().simple());
        self.execute(&format!(
            "UPDATE conversations SET updated_at = updated_at - {micros} WHERE conversation_id = x'{id}'"
        ));
    }

    async fn age_request(&self, request: RequestId, by: Duration) {
        let (micros, id) = (by.as_micros(), request.as_uuid().simple());
        self.execute(&format!(
            "UPDATE requests SET lease_until = lease_until - {micros} WHERE request_id = x'{id}'"
        ));
    }

    fn durability(&self) -> Durability {
        Durability::Durable
    }
}

lcs_storage::conformance_suite!(SqliteHarness::new().await);
