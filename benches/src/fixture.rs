//! A small store with the rows of the workloads, for criterion's groups.

use std::sync::Arc;

use lcs_app::PersistenceManager;
use lcs_app::configuration::{Configuration, StoreConfiguration};
use lcs_storage::sqlite::SqliteConfig;
use tempfile::TempDir;

use crate::Result;
use crate::dataset::{self, Sizes};
use crate::workload::Host;

/// How many rows a fixture has.
pub const SIZES: Sizes = Sizes { users: 40, conversations_per_user: 20, hot: 64, history: 8 };

/// A host over a store of its own.
#[derive(Debug)]
pub struct Fixture {
    /// The host.
    pub host: Arc<Host>,
    /// Where its file is; removed with this.
    _folder: TempDir,
}

impl Fixture {
    /// Over memory.
    ///
    /// # Errors
    /// What the store refuses.
    pub async fn memory() -> Result<Self> {
        let manager = PersistenceManager::initialize(Configuration::new(StoreConfiguration::Memory)).await?;
        dataset::load_memory(&manager, SIZES).await?;
        Ok(Self { host: Arc::new(Host::new(manager, SIZES)), _folder: tempfile::tempdir()? })
    }

    /// Over a SQLite file in the temporary folder, as durable as by default.
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn sqlite() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("conversations.sqlite");
        let store = StoreConfiguration::Sqlite(SqliteConfig::file(&file));
        let manager = PersistenceManager::initialize(Configuration::new(store)).await?;
        dataset::load_sqlite(&file, SIZES)?;
        Ok(Self { host: Arc::new(Host::new(manager, SIZES)), _folder: folder })
    }
}
