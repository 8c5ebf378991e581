//! The store behind all services: how it is opened, migrated and looked after.

use std::fmt;
use std::sync::Arc;

use lcs_domain::diagnostic::Finding;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, AuditAction, AuditDetail, Capabilities, Clock, DatabaseStatus, NewAuditEvent, Repositories,
};
use lcs_storage::memory::Memory;
use lcs_storage::migration::{MigrationStatus, Migrations};
use lcs_storage::postgres::Postgres;
use lcs_storage::sqlite::Sqlite;

use crate::configuration::StoreConfiguration;

/// The configured store.
#[derive(Clone)]
pub struct DatabaseService {
    repositories: Arc<dyn Repositories>,
    migrations: Option<Arc<dyn Migrations>>,
    actor: Actor,
}

impl fmt::Debug for DatabaseService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseService").field("capabilities", &self.capabilities()).finish_non_exhaustive()
    }
}

impl DatabaseService {
    /// Opens the store. Its schema is left as it is; a server that is down shows at the first use.
    ///
    /// # Errors
    /// `Unavailable` and the like where an embedded database cannot be opened; `Invalid` where a
    /// certificate cannot be read.
    pub async fn open(store: &StoreConfiguration, clock: Arc<dyn Clock>) -> RepositoryResult<Self> {
        let actor = store.actor().cloned().unwrap_or_else(Actor::service);
        Ok(match store {
            StoreConfiguration::Postgresql(postgres) => {
                let postgres = Arc::new(Postgres::connect(postgres.as_ref().clone()).await?);
                Self { repositories: postgres.clone(), migrations: Some(postgres), actor }
            }
            StoreConfiguration::Sqlite(sqlite) => {
                let sqlite = Arc::new(Sqlite::open(sqlite.clone(), clock).await?);
                Self { repositories: sqlite.clone(), migrations: Some(sqlite), actor }
            }
            StoreConfiguration::Memory => Self::over(Arc::new(Memory::new(clock))),
        })
    }

    /// A store of the caller's own, which has no migrations that this service could run.
    #[must_use]
    pub fn over(repositories: Arc<dyn Repositories>) -> Self {
        Self { repositories, migrations: None, actor: Actor::service() }
    }

    /// The store itself, without cache or fallback.
    #[must_use]
    pub fn repositories(&self) -> Arc<dyn Repositories> {
        Arc::clone(&self.repositories)
    }

    /// What the store can do.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.repositories.capabilities()
    }

    /// Asks the database for a sign of life.
    pub async fn ping(&self) -> RepositoryResult<()> {
        self.repositories.ping().await
    }

    /// Applies pending migrations and names them. Any number of processes may do so at once.
    pub async fn migrate(&self) -> RepositoryResult<Vec<String>> {
        match &self.migrations {
            Some(migrations) => {
                let applied = migrations.run_pending().await?;
                for migration in &applied {
                    self.record_migration(AuditAction::MigrationApplied, migration).await;
                }
                Ok(applied)
            }
            None => Ok(Vec::new()),
        }
    }

    /// Records what became of the schema. It is as it is now, whether that can be recorded or not: a schema
    /// without the audit log has no place for it.
    async fn record_migration(&self, action: AuditAction, migration: &str) {
        let detail = AuditDetail::default().name("migration", migration);
        let event = NewAuditEvent { detail, ..NewAuditEvent::done(self.actor.clone(), action) };
        if let Err(error) = self.repositories.audit().record(event).await {
            tracing::warn!(error = %error, migration, "a migration is not in the audit log");
        }
    }

    /// Reverts the newest migration and names it; `None` where none is applied.
    pub async fn revert_migration(&self) -> RepositoryResult<Option<String>> {
        match &self.migrations {
            Some(migrations) => {
                let reverted = migrations.revert_last().await?;
                if let Some(migration) = &reverted {
                    self.record_migration(AuditAction::MigrationReverted, migration).await;
                }
                Ok(reverted)
            }
            None => Ok(None),
        }
    }

    /// All migrations that the database or this program knows, oldest first.
    pub async fn migration_status(&self) -> RepositoryResult<Vec<MigrationStatus>> {
        match &self.migrations {
            Some(migrations) => migrations.status().await,
            None => Ok(Vec::new()),
        }
    }

    /// Switches on what the configuration asks for beyond the migrations, row-level security, and names the
    /// tables that it was not in force on. It takes the tables' owner.
    pub async fn secure(&self) -> RepositoryResult<Vec<String>> {
        match &self.migrations {
            Some(migrations) => migrations.secure().await,
            None => Ok(Vec::new()),
        }
    }

    /// Refuses a database whose row-level security is not what the configuration says; and, unless an operator
    /// is at work, a role that it does not hold.
    ///
    /// # Errors
    /// `Backend`, with what to do.
    pub async fn check_security(&self, is_operator: bool) -> RepositoryResult<()> {
        match &self.migrations {
            Some(migrations) => migrations.check_security(is_operator).await,
            None => Ok(()),
        }
    }

    /// Every check of the stored rows and what it found.
    pub async fn diagnose(&self) -> RepositoryResult<Vec<Finding>> {
        self.repositories.diagnostics().diagnose().await
    }

    /// How the database is doing: its sizes, its connections, its indexes.
    pub async fn status(&self) -> RepositoryResult<DatabaseStatus> {
        self.repositories.analytics().database_status().await
    }
}
