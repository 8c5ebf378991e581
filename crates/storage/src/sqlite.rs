//! The store in a SQLite file: the embedded default, for one machine.
//!
//! Several processes may use one file at once. Each operation is one closure on a thread that may block;
//! writes stand in one transaction that holds SQLite's write lock from its beginning, so that they are
//! decided and applied one after the other. The log is synced with each commit.

mod agent_state;
mod analytics;
mod archive;
mod audit;
mod browse;
mod connection;
mod conversation;
mod database;
mod diagnostic;
mod erasure;
mod error;
mod file;
mod hold;
mod journal;
mod limited;
mod migration;
mod request;
mod retention;
mod retention_override;
mod row;
mod schema;
pub mod source;
mod transfer;
mod turn;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use diesel::prelude::*;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, AgentStateRepository, AnalyticsRepository, ArchiveRepository, AuditRepository, BrowseRepository,
    Capabilities, Clock, ConversationRepository, DiagnosticRepository, Durability, ErasureRepository,
    HoldRepository, PoolStatus, Repositories, RequestRepository, RetentionOverrideRepository,
    RetentionRepository, TransferRepository, TurnRepository,
};
use tokio::sync::Mutex;

pub use self::journal::{
    ConflictLine, JournalContent, JournalLine, JournalLook, JournalMatches, JournalSlot, SqliteJournal,
    WeakJournal,
};

use self::database::Database;
use self::turn::Appends;

/// Where the database stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SqliteFile {
    /// In this file. It is made where it is missing, with the folders above it, for its owner alone.
    Path(PathBuf),
    /// In this process's memory, gone with the store: for tests.
    Memory,
}

/// How a SQLite store is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteConfig {
    /// Where the database stands.
    pub file: SqliteFile,
    /// How many connections read at once, at least 1. One more writes.
    pub readers: u32,
    /// Whether appends that arrive while another is being committed go together in the next commit.
    pub coalesce_appends: bool,
    /// How long an operation waits for another process that holds the write lock.
    pub busy_timeout: Duration,
    /// How long an operation waits for a connection of its own process.
    pub pool_timeout: Duration,
    /// Who is at work, for the audit log; `None`: each user, and retention by itself.
    pub actor: Option<Actor>,
}

impl SqliteConfig {
    /// A database in `path`: 4 readers, 5 seconds for other processes, 30 for a connection.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { file: SqliteFile::Path(path.into()), ..Self::memory() }
    }

    /// A database in memory, for tests.
    #[must_use]
    pub const fn memory() -> Self {
        Self {
            file: SqliteFile::Memory,
            readers: 4,
            coalesce_appends: true,
            busy_timeout: Duration::from_secs(5),
            pool_timeout: Duration::from_secs(30),
            actor: None,
        }
    }
}

/// A store in a SQLite file. Cheap to clone: the clones share their connections.
#[derive(Debug, Clone)]
pub struct Sqlite {
    database: Database,
    /// The appends that go together in one commit; `None` where each has its own.
    appends: Option<Appends>,
    /// A batch of a purge has it: another one waits here, and not where others wait for the writing connection.
    purging: Arc<Mutex<()>>,
    actor: Option<Actor>,
}

impl Sqlite {
    /// Opens the database, without migrating it: see [`Migrations`](crate::migration::Migrations).
    ///
    /// # Errors
    /// `Unavailable` where the file cannot be opened or made; `ReadOnly` where it would have to be made
    /// where nothing may be written; `Backend` where it is no SQLite database, or another program's.
    pub async fn open(config: SqliteConfig, clock: Arc<dyn Clock>) -> RepositoryResult<Self> {
        let appends = config.coalesce_appends.then(Appends::default);
        let actor = config.actor.clone();
        let database = Database::open(config, clock).await?;
        Ok(Self { database, appends, purging: Arc::default(), actor })
    }
}

#[async_trait]
impl Repositories for Sqlite {
    fn conversations(&self) -> &dyn ConversationRepository {
        self
    }

    fn turns(&self) -> &dyn TurnRepository {
        self
    }

    fn agent_states(&self) -> &dyn AgentStateRepository {
        self
    }

    fn requests(&self) -> &dyn RequestRepository {
        self
    }

    fn retention(&self) -> &dyn RetentionRepository {
        self
    }

    fn retention_overrides(&self) -> &dyn RetentionOverrideRepository {
        self
    }

    fn holds(&self) -> &dyn HoldRepository {
        self
    }

    fn erasures(&self) -> &dyn ErasureRepository {
        self
    }

    fn audit(&self) -> &dyn AuditRepository {
        self
    }

    fn browse(&self) -> &dyn BrowseRepository {
        self
    }

    fn transfers(&self) -> &dyn TransferRepository {
        self
    }

    fn archives(&self) -> &dyn ArchiveRepository {
        self
    }

    fn diagnostics(&self) -> &dyn DiagnosticRepository {
        self
    }

    fn analytics(&self) -> &dyn AnalyticsRepository {
        self
    }

    #[tracing::instrument(name = "db.ping", skip_all)]
    async fn ping(&self) -> RepositoryResult<()> {
        // It reads the file: `SELECT 1` would not.
        self.database
            .read(|connection| {
                Ok(diesel::sql_query("PRAGMA schema_version").execute(connection).map(drop)?)
            })
            .await
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { backend: "sqlite", durability: Durability::Durable, shared: false }
    }

    /// That of the readers. There is one writer beside them.
    fn pool_status(&self) -> Option<PoolStatus> {
        Some(self.database.pool_status())
    }
}
