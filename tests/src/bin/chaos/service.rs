//! A replica: a process that serves, behind a proxy of its own.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use lcs_tests::chaos::replica::Failure;

use super::process::Process;
use super::proxy::Proxy;

/// What happens while the database is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Journal,
    Memory,
    Refuse,
}

impl Mode {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Journal => "journal",
            Self::Memory => "memory",
            Self::Refuse => "refuse",
        }
    }
}

/// The database that replicas use.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) user: String,
    pub(crate) password: String,
}

/// A configuration with PostgreSQL.
#[derive(Debug, Clone)]
pub(crate) struct Configuration {
    pub(crate) database: Database,
    /// One, or several with commas between them; so are the ports.
    pub(crate) host: String,
    pub(crate) port: String,
    pub(crate) mode: Mode,
    /// The journals' folder.
    pub(crate) journal: PathBuf,
    /// Lines of the section `database`, indented.
    pub(crate) more: String,
    /// Whether a start without its database ends.
    pub(crate) requires_database: bool,
}

impl Configuration {
    /// Of the database behind the port of this machine.
    pub(crate) fn new(home: &Path, port: u16, database: &Database, mode: Mode) -> Self {
        Self {
            database: database.clone(),
            host: "127.0.0.1".to_owned(),
            port: port.to_string(),
            mode,
            journal: home.join("journal"),
            more: "    ssl_mode: disable\n".to_owned(),
            requires_database: false,
        }
    }

    /// With this deadline for an operation.
    pub(crate) fn with_deadline(self, seconds: u64) -> Self {
        Self { more: format!("{}    operation_timeout: {seconds}\n", self.more), ..self }
    }

    /// As the file has it.
    pub(crate) fn text(&self) -> Result<String, Failure> {
        let Self { host, port, mode, journal, more, requires_database, .. } = self;
        let Database { name, user, password } = &self.database;
        let mut text = format!(
            "persistence:\n  type: postgresql\n  require_database_at_start: {requires_database}\n  database:\n    \
             host: {host}\n    port: {port}\n    name: {name}\n    username: {user}\n    password: {password}\n    \
             pool_size: 8\n    max_overflow: 4\n    pool_timeout: 2\n{more}  fallback:\n    mode: {}\n",
            mode.word()
        );
        if *mode == Mode::Journal {
            writeln!(text, "    journal_path: {}", journal.display())?;
        }
        text += SERVICE;
        Ok(text)
    }
}

/// The service's own section: retention is let loose by the campaign alone.
pub(crate) const SERVICE: &str =
    "  service:\n    retention_interval_seconds: 0\n    shutdown_timeout_seconds: 5\n";

/// The most connections that one replica has to the server.
pub(crate) const POOL: u64 = 12;

/// A replica.
pub(crate) struct Service {
    pub(crate) proxy: Proxy,
    pub(crate) process: Process,
}

impl Service {
    /// A replica that does not serve yet, in a folder of its own.
    pub(crate) fn new(
        program: &Path,
        home: &Path,
        proxy: Proxy,
        database: &Database,
        mode: Mode,
    ) -> Result<Self, Failure> {
        let configuration = Configuration::new(home, proxy.port, database, mode).text()?;
        let process = Process::new(program, home, &configuration, &[&database.password])?;
        Ok(Self { proxy, process })
    }
}
