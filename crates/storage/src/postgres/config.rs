//! How to reach a PostgreSQL server, and how long to wait for it.

mod ssl_mode;
mod url;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use lcs_domain::RepositoryError;
use secrecy::SecretString;

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
    /// How many connections the pool keeps. With [`max_overflow`](Self::max_overflow) as in `SQLAlchemy`:
    /// their sum is how many there may ever be. Connections are made when they are needed, and let go
    /// when they have been idle for ten minutes.
    pub pool_size: u32,
    /// How many connections may be made beyond [`pool_size`](Self::pool_size).
    pub max_overflow: u32,
    /// How long an operation waits for a free connection.
    pub pool_timeout: Duration,
    /// How old a connection grows before it is replaced; `None`: any age.
    pub pool_recycle: Option<Duration>,
    /// How long making one connection may take, from the host's look-up to the end of the handshake.
    pub connect_timeout: Duration,
    /// How long an operation goes on trying while the server cannot be reached. A wrong password, an
    /// unknown database or an untrusted certificate are told at once.
    pub reconnect_timeout: Duration,
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
}

impl Default for PostgresConfig {
    fn default() -> Self {
        Self {
            host: "localhost".into(),
            port: 5432,
            database: "lightspeed_stack".into(),
            user: "postgres".into(),
            password: None,
            ssl_mode: SslMode::default(),
            ca_cert_path: None,
            namespace: "public".into(),
            pool_size: 20,
            max_overflow: 30,
            pool_timeout: Duration::from_secs(30),
            pool_recycle: Some(Duration::from_hours(1)),
            connect_timeout: Duration::from_millis(1500),
            reconnect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(3),
            lock_timeout: Duration::from_secs(2),
            idle_in_transaction_timeout: Duration::from_secs(5),
            maintenance_timeout: Duration::from_mins(5),
            application_name: "lcs-persistence".into(),
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

    /// Whether the connection never leaves this machine.
    pub(super) fn is_local(&self) -> bool {
        self.is_socket()
            || self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Whether the host is the folder of a Unix socket: there is nothing to encrypt.
    pub(super) fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// Where the server is, for people.
    pub(super) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
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

    #[test]
    fn loopback_and_sockets_are_local() {
        let at = |host: &str| PostgresConfig { host: host.into(), ..Default::default() };
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.1.2.3", "::1", "/run/postgresql"] {
            assert!(at(host).is_local(), "{host}");
        }
        for host in ["db", "10.0.0.1", "localhost.example.org", "::2"] {
            assert!(!at(host).is_local(), "{host}");
        }
    }
}
