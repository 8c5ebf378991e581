//! The schema's migrations: which there are, which are applied, and how they are run.
//!
//! They are embedded in the program. Any number of processes may run them at once: each migration is
//! applied once, by one of them, and the others wait.

use async_trait::async_trait;
use lcs_domain::repository::RepositoryResult;
use serde::Serialize;

/// A migration and whether the database has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MigrationStatus {
    /// Its version: the digits that its folder's name begins with, without dashes.
    pub version: String,
    /// Its folder's name; `unknown` for one that the database has and this program does not.
    pub name: String,
    /// Whether the database has it.
    pub applied: bool,
}

/// A store whose schema is migrated.
#[async_trait]
pub trait Migrations: Send + Sync {
    /// Applies what is pending, oldest first, and names it.
    ///
    /// # Errors
    /// `SchemaSkew` where the database has a migration that this program does not know: nothing is touched.
    async fn run_pending(&self) -> RepositoryResult<Vec<String>>;

    /// Reverts the newest migration and names it; `None` where none is applied.
    async fn revert_last(&self) -> RepositoryResult<Option<String>>;

    /// All migrations that the database or this program knows, oldest first. Changes nothing, also not
    /// in an empty database.
    async fn status(&self) -> RepositoryResult<Vec<MigrationStatus>>;

    /// Switches on what the configuration asks for beyond the migrations, row-level security, and names the
    /// tables that it was not in force on. As the owner of the tables; where nothing is to be done, as anybody.
    async fn secure(&self) -> RepositoryResult<Vec<String>> {
        Ok(Vec::new())
    }

    /// Refuses a database whose row-level security is not what the configuration says; and, unless an operator
    /// is at work, a role that it does not hold.
    ///
    /// # Errors
    /// `Backend`, with what to do.
    async fn check_security(&self, _is_operator: bool) -> RepositoryResult<()> {
        Ok(())
    }
}
