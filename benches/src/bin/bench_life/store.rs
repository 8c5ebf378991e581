//! The stores that are measured, and how their conversations grow old.

use std::path::PathBuf;

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use lcs_benches::Result;
use lcs_storage::testing::{PrivateCluster, TestPostgres};

pub(crate) enum Store {
    Postgres(Box<TestPostgres>),
    Sqlite { file: PathBuf, url: String },
}

impl Store {
    /// A database of its own in the cluster.
    pub(crate) async fn postgres(cluster: &PrivateCluster) -> Self {
        Self::Postgres(Box::new(cluster.database().await))
    }

    /// A file.
    pub(crate) fn sqlite(file: PathBuf) -> Self {
        let url = format!("sqlite:{}", file.display());
        Self::Sqlite { file, url }
    }

    pub(crate) fn url(&self) -> &str {
        match self {
            Self::Postgres(database) => database.url(),
            Self::Sqlite { url, .. } => url,
        }
    }

    /// Lets the database come to rest behind a load.
    pub(crate) async fn settle(&self) -> Result<()> {
        self.execute("VACUUM ANALYZE; CHECKPOINT", "PRAGMA wal_checkpoint(TRUNCATE); ANALYZE").await
    }

    /// Makes all conversations idle for longer than they are kept.
    pub(crate) async fn age(&self) -> Result<()> {
        self.execute(
            "UPDATE conversations SET updated_at = now() - interval '400 days'",
            "UPDATE conversations SET updated_at = updated_at - 400 * 86400 * 1000000",
        )
        .await?;
        self.settle().await
    }

    async fn execute(&self, postgres: &str, sqlite: &str) -> Result<()> {
        match self {
            Self::Postgres(database) => {
                // Each by itself: VACUUM is in no transaction.
                for statement in postgres.split("; ") {
                    database.execute(statement).await;
                }
            }
            Self::Sqlite { file, .. } => {
                let path = file.to_str().ok_or("the path of the SQLite file is not UTF-8")?;
                SqliteConnection::establish(path)?.batch_execute(sqlite)?;
            }
        }
        Ok(())
    }
}
