//! The roles of `migrations/roles.sql` in a test's database, under names of its own: roles are the server's.

use std::fmt;
use std::path::Path;

use tokio::process::Command;

use super::{Result, TestPostgres, program, random};

/// A role with the least rights for its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Owns the tables.
    Migrator,
    /// Serves.
    Application,
    /// Retention and erasure.
    Operator,
    /// Reads.
    Auditor,
}

impl Role {
    pub(super) const ALL: [Self; 4] = [Self::Migrator, Self::Application, Self::Operator, Self::Auditor];

    /// The name of this role in the database of this name.
    pub(super) fn of(self, database: &str) -> String {
        format!("{database}_{self}")
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Migrator => "migrator",
            Self::Application => "application",
            Self::Operator => "operator",
            Self::Auditor => "auditor",
        })
    }
}

/// Runs the bundled file as an operator would, with psql, and gives the roles their password.
pub(super) async fn make(database: &TestPostgres) -> Result<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations/roles.sql");
    let mut psql = Command::new(program("psql"));
    psql.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--file"]).arg(file);
    for role in Role::ALL {
        psql.args(["--set", &format!("{role}={}", role.of(database.database()))]);
    }
    let output = psql.arg(database.url()).output().await?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let password = format!("{:016x}", random());
    for role in Role::ALL {
        let name = role.of(database.database());
        database.execute(&format!("ALTER ROLE {name} PASSWORD '{password}'")).await;
    }
    Ok(password)
}
