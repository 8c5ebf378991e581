//! How to reach a PostgreSQL server, and how long to wait for it.

mod pooler;
mod server;
mod ssl_mode;
mod url;

use std::path::PathBuf;
use std::time::Duration;

use lcs_domain::{Actor, RepositoryError};
use secrecy::SecretString;

pub use self::pooler::Pooler;
pub use self::server::{Server, TargetSessionAttrs};
pub use self::ssl_mode::{SslMode, UnknownSslMode};

/// A PostgreSQL server, a database on it, and how it is used.
///
/// `Debug` never shows the password.
#[derive(Debug, Clone)]
pub struct PostgresConfig {
    /// The server's host name or address; a path that begins with `/` is the folder of its Unix socket.
    pub host: String,
    /// The server's port.
    pub port: u16,
    /// Where else the database may be: the other servers of a cluster that replicates, of which one takes
    /// writes at a time. They are tried in their order, beginning with the one that was connected to last.
    pub other_servers: Vec<Server>,
    /// What a server has to be; `None`: one that takes writes where there are several servers, any where
    /// there is one.
    pub target_session_attrs: Option<TargetSessionAttrs>,
    /// What stands between.
    pub pooler: Pooler,
    /// The database's name.
    pub database: String,
    /// The role to connect as.
    pub user: String,
    /// Its password; `None` where the server asks for none.
    pub password: Option<SecretString>,
    /// Whether to encrypt, and what to check of the server's certificate.
    pub ssl_mode: SslMode,
    /// The certificates that the server's is checked against, in PEM; `None`: those of the system.
    pub ca_cert_path: Option<PathBuf>,
    /// The schema that the tables stand in; a migration makes it where it is missing. `$user` and
    /// `pg_temp` are refused: they stand for other schemas.
    pub namespace: String,
    /// Whether each statement names its user to the row-level security of the tables, which then show it
    /// that user's rows alone: a second lock beside the statements' own conditions. It is switched on in
    /// the database by [`Migrations::secure`](crate::migration::Migrations::secure).
    pub row_level_security: bool,
    /// Whether appends to different conversations that arrive while others are under way go together in one
    /// statement and one commit. Each keeps its own outcome.
    pub coalesce_appends: bool,
    /// How many connections the pool keeps. With [`max_overflow`](Self::max_overflow) as in `SQLAlchemy`:
    /// their sum is how many there may ever be. Connections are made when they are needed, and let go
    /// when they have been idle for ten minutes.
    pub pool_size: u32,
    /// How many connections may be made beyond [`pool_size`](Self::pool_size).
    pub max_overflow: u32,
    /// How long an operation waits for a free connection, if its own time does not end before.
    pub pool_timeout: Duration,
    /// How old a connection grows before it is replaced; `None`: any age.
    pub pool_recycle: Option<Duration>,
    /// How long one call may take, with all that it waits for and all that is tried again in it. A wrong
    /// password, an unknown database or an untrusted certificate are told at once.
    pub operation_timeout: Duration,
    /// How long making one connection may take, from the host's look-up to the end of the handshake.
    pub connect_timeout: Duration,
    /// How long a statement may take.
    pub statement_timeout: Duration,
    /// How long a statement may wait for a lock.
    pub lock_timeout: Duration,
    /// How long the server lets a transaction stand idle before it ends it.
    pub idle_in_transaction_timeout: Duration,
    /// How long a statement of maintenance may take (a batch of retention, a check of `doctor`, a
    /// migration), and how long a migration waits for another process's.
    pub maintenance_timeout: Duration,
    /// The name that the server shows this program by.
    pub application_name: String,
    /// Who is at work, for the audit log; `None`: each user, and retention by itself.
    pub actor: Option<Actor>,
}

impl Default for PostgresConfig {
    fn default() -> Self {
        Self {
            host: "localhost".into(),
            port: 5432,
            other_servers: Vec::new(),
            target_session_attrs: None,
            pooler: Pooler::None,
            database: "lightspeed_stack".into(),
            user: "postgres".into(),
            password: None,
            ssl_mode: SslMode::default(),
            ca_cert_path: None,
            namespace: "public".into(),
            row_level_security: false,
            coalesce_appends: true,
            pool_size: 20,
            max_overflow: 30,
            pool_timeout: Duration::from_secs(30),
            pool_recycle: Some(Duration::from_hours(1)),
            operation_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_millis(1500),
            statement_timeout: Duration::from_secs(3),
            lock_timeout: Duration::from_secs(2),
            idle_in_transaction_timeout: Duration::from_secs(5),
            maintenance_timeout: Duration::from_mins(5),
            application_name: "lcs-persistence".into(),
            actor: None,
        }
    }
}

impl PostgresConfig {
    /// The server that `url` names: `postgres://user:password@host:port/database`, behind `?` any of
    /// `sslmode`, `sslrootcert`, `application_name` and `namespace`. The rest is the default.
    ///
    /// # Errors
    /// `Invalid`, in one sentence that repeats nothing of the URL: any part of a malformed one may be
    /// the password.
    pub fn from_url(url: &str) -> Result<Self, RepositoryError> {
        url::parse(url)
    }

    /// What is wrong with the schema's name: PostgreSQL reads these two as others, quoted or not.
    pub(super) fn namespace_problem(&self) -> Option<&'static str> {
        matches!(self.namespace.as_str(), "$user" | "pg_temp")
            .then_some("the namespace is a word that stands for other schemas: write the name of one")
    }

    /// All servers, in the order in which they are tried.
    pub(super) fn servers(&self) -> impl Iterator<Item = Server> {
        let first = Server { host: self.host.clone(), port: self.port };
        std::iter::once(first).chain(self.other_servers.iter().cloned())
    }

    /// Whether a server that takes no writes is passed over.
    pub(super) fn wants_primary(&self) -> bool {
        match self.target_session_attrs {
            Some(target) => target == TargetSessionAttrs::ReadWrite,
            None => !self.other_servers.is_empty(),
        }
    }

    /// Where the servers are, for people.
    pub(super) fn address(&self) -> String {
        self.servers().map(|server| server.address()).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_password() {
        let config = PostgresConfig { password: Some("hunter2".to_owned().into()), ..Default::default() };
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
