//! The embedded migrations of the SQLite schema.

use async_trait::async_trait;
use diesel::migration::{Migration, MigrationSource};
use diesel::prelude::*;
use diesel::sqlite::{Sqlite as Backend, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use lcs_domain::RepositoryError;
use lcs_domain::repository::RepositoryResult;

use super::Sqlite;
use super::error::Failure;
use super::schema::__diesel_schema_migrations as applied;
use crate::migration::{MigrationStatus, Migrations};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");

/// A migration with its version and its folder's name.
struct Known {
    version: String,
    name: String,
    migration: Box<dyn Migration<Backend>>,
}

/// The migrations that this program knows, oldest first.
fn known() -> Result<Vec<Known>, Failure> {
    let migrations = MigrationSource::<Backend>::migrations(&MIGRATIONS).map_err(failed)?;
    let mut known: Vec<Known> = migrations
        .into_iter()
        .map(|migration| Known {
            version: migration.name().version().to_string(),
            name: migration.name().to_string(),
            migration,
        })
        .collect();
    known.sort_by(|one, other| one.version.cmp(&other.version));
    Ok(known)
}

/// The newest version that this program knows, for errors.
pub(super) fn newest() -> String {
    known().ok().and_then(|mut known| known.pop()).map_or_else(String::new, |newest| newest.version)
}

/// The versions that the database has, oldest first; none where it was never migrated.
fn applied_versions(connection: &mut SqliteConnection) -> Result<Vec<String>, Failure> {
    let tables: i64 = diesel::dsl::sql::<diesel::sql_types::BigInt>(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '__diesel_schema_migrations'",
    )
    .get_result(connection)?;
    if tables == 0 {
        return Ok(Vec::new());
    }
    Ok(applied::table.select(applied::version).order(applied::version).load(connection)?)
}

fn failed(error: Box<dyn std::error::Error + Send + Sync>) -> Failure {
    match error.downcast::<diesel::result::Error>() {
        Ok(error) => Failure::Database(*error),
        Err(error) => Failure::Refused(RepositoryError::Backend {
            reason: "a migration failed and was rolled back".to_owned(),
            source: Some(error),
        }),
    }
}

/// All migrations that the database or this program knows, oldest first.
pub(super) fn status(connection: &mut SqliteConnection) -> Result<Vec<MigrationStatus>, Failure> {
    let mut applied = applied_versions(connection)?;
    let mut status: Vec<MigrationStatus> = known()?
        .into_iter()
        .map(|Known { version, name, .. }| {
            let before = applied.len();
            applied.retain(|applied| *applied != version);
            MigrationStatus { applied: applied.len() < before, version, name }
        })
        .collect();
    status.extend(applied.into_iter().map(|version| MigrationStatus {
        version,
        name: "unknown".to_owned(),
        applied: true,
    }));
    status.sort_by(|one, other| one.version.cmp(&other.version));
    Ok(status)
}

/// Refuses a database with a migration that this program does not know.
fn expect_known(applied: &[String], known: &[Known]) -> Result<(), Failure> {
    let unknown = applied.iter().rev().find(|version| known.iter().all(|known| known.version != **version));
    unknown.map_or(Ok(()), |version| {
        Err(Failure::Refused(RepositoryError::SchemaSkew {
            found: version.clone(),
            supported: newest(),
            remedy: "run the newest program that was used on this database".to_owned(),
        }))
    })
}

/// Refuses a file with tables of which none is ours, before anything in it is changed.
pub(super) fn expect_ours(connection: &mut SqliteConnection, file: &str) -> Result<(), Failure> {
    let foreign: bool = diesel::dsl::sql::<diesel::sql_types::Bool>(
        "SELECT count(*) > 0 AND count(*) FILTER (WHERE name IN ('__diesel_schema_migrations', \
         'conversations', 'conversation_turns', 'agent_states', 'conversation_tombstones')) = 0 \
         FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'",
    )
    .get_result(connection)?;
    if !foreign {
        return Ok(());
    }
    Err(Failure::Refused(RepositoryError::Backend {
        reason: format!("{file} holds another program's tables: name another file"),
        source: None,
    }))
}

#[async_trait]
impl Migrations for Sqlite {
    /// All that is pending is applied in one transaction under the write lock: of any number of
    /// processes one does it, and the others find it done.
    #[tracing::instrument(name = "db.migration.run", skip_all)]
    async fn run_pending(&self) -> RepositoryResult<Vec<String>> {
        let file = self.database.file();
        self.database
            .write("migration", move |connection, _| {
                // Again: another program may have made them since the file was opened.
                expect_ours(connection, &file)?;
                let (known, applied) = (known()?, applied_versions(connection)?);
                expect_known(&applied, &known)?;
                let mut names = Vec::new();
                // Diesel's own table is made here where it is missing, and never in a look at the status.
                connection.applied_migrations().map_err(failed)?;
                for pending in known.into_iter().filter(|known| !applied.contains(&known.version)) {
                    connection.run_migration(&*pending.migration).map_err(failed)?;
                    names.push(pending.name);
                }
                Ok(names)
            })
            .await
    }

    #[tracing::instrument(name = "db.migration.revert", skip_all)]
    async fn revert_last(&self) -> RepositoryResult<Option<String>> {
        self.database
            .write("migration", |connection, _| {
                let (known, applied) = (known()?, applied_versions(connection)?);
                expect_known(&applied, &known)?;
                let last =
                    applied.last().and_then(|last| known.into_iter().find(|known| known.version == *last));
                let Some(last) = last else {
                    return Ok(None);
                };
                connection.revert_migration(&*last.migration).map_err(failed)?;
                Ok(Some(last.name))
            })
            .await
    }

    #[tracing::instrument(name = "db.migration.status", skip_all)]
    async fn status(&self) -> RepositoryResult<Vec<MigrationStatus>> {
        self.database.read_snapshot(status).await
    }
}
