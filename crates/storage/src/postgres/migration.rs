//! The embedded migrations, run by one process at a time however many ask.
//!
//! They run on a connection of their own, on a blocking thread (Diesel's harness is synchronous), under an
//! advisory lock that is polled: a process that waits for it holds no transaction, and gives up in time.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use diesel::migration::{Migration, MigrationSource};
use diesel::pg::Pg;
use diesel::sql_types::{Bool, Text as SqlText};
use diesel_async::AsyncPgConnection;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use lcs_domain::RepositoryError;
use lcs_domain::repository::RepositoryResult;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::connect::{Purpose, quoted};
use super::error::{Fault, of_message};
use super::operation::detached;
use super::pool::Session;
use super::statement::{Statement, statement};
use super::{Pooler, Postgres};
use crate::migration::{MigrationStatus, Migrations};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");

/// How often to ask whether another process has done migrating.
const POLL: Duration = Duration::from_millis(100);

statement! {
    /// Takes the lock under which the migrations of one schema run, if it is free.
    TryLock(
        "-- $1 namespace\nSELECT pg_try_advisory_lock(hashtext('lcs-persistence migration'), hashtext($1))"
    ) -> Bool { namespace: String as SqlText }
}

statement! {
    /// Whether the schema exists.
    HasNamespace("-- $1 namespace\nSELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)") -> Bool {
        namespace: String as SqlText,
    }
}

statement! {
    /// Whether Diesel's own table exists: asked, because to read it where it is not is an error, and to
    /// make it would be a change.
    HasTable("SELECT to_regclass('__diesel_schema_migrations') IS NOT NULL") -> Bool {}
}

statement! {
    /// The versions of the applied migrations.
    Applied("SELECT version FROM __diesel_schema_migrations ORDER BY version") -> SqlText {}
}

/// A connection to migrate on, as Diesel's harness wants it.
type Harness = AsyncConnectionWrapper<AsyncPgConnection>;

#[async_trait]
impl Migrations for Postgres {
    #[tracing::instrument(name = "db.migration.run_pending", skip_all)]
    async fn run_pending(&self) -> RepositoryResult<Vec<String>> {
        let store = self.clone();
        detached(Uuid::nil(), async move {
            // Asked without the lock first: an older program must not even wait, and where there is
            // nothing to do, nobody needs rights to the schema (Diesel's harness begins with its table).
            let applied = store.applied().await?;
            if known()?.keys().all(|version| applied.contains(version)) {
                return Ok(Vec::new());
            }
            let mut session = store.locked_session().await?;
            applied_in(&mut session).await?;
            let namespace = store.pool().connector().config().namespace.clone();
            let exists = one(&mut session, &HasNamespace { namespace: namespace.clone() }).await?;
            let make_namespace = (!exists).then(|| format!("CREATE SCHEMA {}", quoted(&namespace)));
            harness(session, move |harness| {
                if let Some(make_namespace) = make_namespace {
                    diesel::connection::SimpleConnection::batch_execute(harness, &make_namespace)?;
                }
                let mut applied = Vec::new();
                for migration in harness.pending_migrations(MIGRATIONS)? {
                    harness.run_migration(&migration)?;
                    tracing::info!(migration = %migration.name(), "migration applied");
                    applied.push(migration.name().to_string());
                }
                Ok(applied)
            })
            .await
        })
        .await
    }

    #[tracing::instrument(name = "db.migration.revert_last", skip_all)]
    async fn revert_last(&self) -> RepositoryResult<Option<String>> {
        let store = self.clone();
        detached(Uuid::nil(), async move {
            store.applied().await?;
            let mut session = store.locked_session().await?;
            if applied_in(&mut session).await?.is_empty() {
                return Ok(None);
            }
            let version =
                harness(session, |harness| Ok(harness.revert_last_migration(MIGRATIONS)?.to_string()))
                    .await?;
            tracing::info!(version, "migration reverted");
            Ok(known()?.remove(&version))
        })
        .await
    }

    #[tracing::instrument(name = "db.migration.status", skip_all)]
    async fn status(&self) -> RepositoryResult<Vec<MigrationStatus>> {
        let mut names = known()?;
        let applied = self.recorded().await?;
        for version in &applied {
            names.entry(version.clone()).or_insert_with(|| "unknown".to_owned());
        }
        let status = names.into_iter().map(|(version, name)| {
            let applied = applied.contains(&version);
            MigrationStatus { version, name, applied }
        });
        Ok(status.collect())
    }

    #[tracing::instrument(name = "db.migration.secure", skip_all)]
    async fn secure(&self) -> RepositoryResult<Vec<String>> {
        let store = self.clone();
        detached(Uuid::nil(), async move { store.secure_tables().await }).await
    }

    #[tracing::instrument(name = "db.migration.check_security", skip_all)]
    async fn check_security(&self, is_operator: bool) -> RepositoryResult<()> {
        self.check_row_level_security(is_operator).await
    }
}

impl Postgres {
    /// The versions that the database records, known or not.
    async fn recorded(&self) -> RepositoryResult<Vec<String>> {
        let mut lease =
            self.pool().lease(Purpose::Maintenance, None, &mut self.tries(Purpose::Maintenance)).await?;
        recorded_in(lease.session()).await
    }

    /// The versions that the database has.
    ///
    /// # Errors
    /// `SchemaSkew` where this program does not know one of them.
    async fn applied(&self) -> RepositoryResult<Vec<String>> {
        let mut lease =
            self.pool().lease(Purpose::Maintenance, None, &mut self.tries(Purpose::Maintenance)).await?;
        applied_in(lease.session()).await
    }

    /// A connection of its own that holds the migrations' lock, until it is closed.
    async fn locked_session(&self) -> RepositoryResult<Session> {
        let config = self.pool().connector().config();
        if config.pooler == Pooler::Transaction {
            return Err(RepositoryError::Backend {
                reason: "a pooler in transaction mode cannot hold the lock under which migrations run: run \
                         `lcs-persistence migrate` with a configuration that leads to the server itself"
                    .into(),
                source: None,
            });
        }
        let mut session = self.pool().own_session(&mut self.tries(Purpose::Maintenance)).await?;
        let began = Instant::now();
        let lock = TryLock { namespace: config.namespace.clone() };
        while !one(&mut session, &lock).await? {
            if began.elapsed() > config.maintenance_timeout {
                return Err(RepositoryError::Overloaded {
                    reason: "another process has been migrating for too long: see what it waits for".into(),
                });
            }
            sleep(POLL).await;
        }
        Ok(session)
    }
}

async fn applied_in(session: &mut Session) -> RepositoryResult<Vec<String>> {
    let (applied, known) = (recorded_in(session).await?, known()?);
    if let Some(unknown) = applied.iter().rfind(|version| !known.contains_key(*version)) {
        return Err(RepositoryError::SchemaSkew {
            found: unknown.clone(),
            supported: newest(),
            remedy: "a newer program has migrated this database: upgrade this one".into(),
        });
    }
    Ok(applied)
}

async fn recorded_in(session: &mut Session) -> RepositoryResult<Vec<String>> {
    if one(session, &HasTable {}).await? {
        session.load(&Applied {}).await.map_err(Fault::into_error)
    } else {
        Ok(Vec::new())
    }
}

/// The one truth value that `query` gives.
async fn one(session: &mut Session, query: &impl Statement<bool>) -> RepositoryResult<bool> {
    let rows = session.load(query).await.map_err(Fault::into_error)?;
    rows.into_iter().next().ok_or_else(super::row::no_row)
}

/// Runs `work` on a thread where it may block, as Diesel's harness does.
async fn harness<T: Send + 'static>(
    session: Session,
    work: impl FnOnce(&mut Harness) -> Result<T, Box<dyn Error + Send + Sync>> + Send + 'static,
) -> RepositoryResult<T> {
    let connection = session.into_connection();
    let worked = tokio::task::spawn_blocking(move || work(&mut Harness::from(connection))).await;
    match worked {
        Ok(outcome) => outcome.map_err(failed),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(RepositoryError::unavailable("the program was stopped while it migrated")),
        },
    }
}

/// What a migration's failure is. It was rolled back.
fn failed(error: Box<dyn Error + Send + Sync>) -> RepositoryError {
    let text = error.to_string();
    // Diesel wraps the driver's error in one of a private type: only its words are left.
    let message = text.split_once(" with: ").map_or(text.as_str(), |(_, message)| message);
    match of_message(message).into_error() {
        error @ (RepositoryError::Unavailable { .. }
        | RepositoryError::Overloaded { .. }
        | RepositoryError::StorageFull { .. }
        | RepositoryError::ReadOnly { .. }) => error,
        _ => RepositoryError::Backend { reason: "a migration failed".into(), source: Some(error) },
    }
}

/// The names of this program's migrations, by their versions.
fn known() -> RepositoryResult<BTreeMap<String, String>> {
    let migrations = MigrationSource::<Pg>::migrations(&MIGRATIONS).map_err(failed)?;
    let name = |migration: Box<dyn Migration<Pg>>| {
        (migration.name().version().to_string(), migration.name().to_string())
    };
    Ok(migrations.into_iter().map(name).collect())
}

/// The newest migration that this program knows.
pub(super) fn newest() -> String {
    known().ok().and_then(|known| known.into_keys().next_back()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migrations_are_embedded() {
        assert!(known().unwrap().contains_key("20261122000001"));
        assert!(newest().as_str() >= "20261122000001");
    }
}
