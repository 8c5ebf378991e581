//! Making one connection: settings in the startup packet, TLS, and what it means when it fails.

mod failure;
mod settings;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use diesel_async::AsyncPgConnection;
use lcs_domain::RepositoryError;
use lcs_domain::repository::RepositoryResult;
use secrecy::ExposeSecret;
use tokio::time::timeout;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;
use tokio_postgres_rustls::MakeRustlsConnect;

pub(super) use self::failure::ConnectFailure;
use super::config::{Pooler, PostgresConfig, Server, SslMode};
use super::ssl;

/// What a connection is for: how long its statements may take.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    /// What users wait for.
    Service,
    /// Migrations.
    Maintenance,
}

/// Makes connections.
pub(super) struct Connector {
    config: PostgresConfig,
    servers: Vec<Server>,
    /// The server that was connected to last.
    current: AtomicUsize,
    /// Whether what stands between has been looked at.
    is_checked: AtomicBool,
    tls: Option<MakeRustlsConnect>,
}

impl Connector {
    pub(super) fn new(config: PostgresConfig) -> RepositoryResult<Self> {
        if let Some(problem) = config.namespace_problem() {
            return Err(RepositoryError::invalid("/namespace", problem));
        }
        let tls = ssl::connector(&config)?;
        let servers: Vec<_> = config.servers().collect();
        if matches!(config.ssl_mode, SslMode::Allow | SslMode::Prefer)
            && let Some(server) = servers.iter().find(|server| !server.is_local())
        {
            tracing::warn!(
                host = server.host,
                ssl_mode = config.ssl_mode.as_str(),
                "the connection may go unencrypted over the network: set ssl_mode to verify-full, or at \
                 least to require"
            );
        }
        Ok(Self { config, servers, current: AtomicUsize::new(0), is_checked: AtomicBool::new(false), tls })
    }

    pub(super) const fn config(&self) -> &PostgresConfig {
        &self.config
    }

    /// A new connection, to the first server that is of use, beginning with the one that was last.
    ///
    /// The time limit for each server spans everything: tokio-postgres limits the TCP connect alone, and a
    /// server that accepts and never answers would hold a place in the pool for ever.
    pub(super) async fn connect(&self, purpose: Purpose) -> Result<AsyncPgConnection, ConnectFailure> {
        let last = self.current.load(Ordering::Relaxed);
        let mut failures = Vec::new();
        for (index, server) in self.servers.iter().enumerate().cycle().skip(last).take(self.servers.len()) {
            match timeout(self.config.connect_timeout, self.settled(server, purpose)).await {
                Ok(Ok(connection)) => {
                    if self.current.swap(index, Ordering::Relaxed) != index {
                        tracing::info!(server = server.address(), "connected to another server");
                    }
                    return Ok(connection);
                }
                Ok(Err(failure)) => failures.push(failure),
                Err(_) => failures.push(ConnectFailure::timed_out(server, &self.config)),
            }
        }
        Err(ConnectFailure::of_all(failures))
    }

    /// A connection with its settings in force.
    async fn settled(&self, server: &Server, purpose: Purpose) -> Result<AsyncPgConnection, ConnectFailure> {
        let mut connection = self.try_modes(server, purpose).await?;
        let is_checked = self.is_checked.load(Ordering::Relaxed);
        match self.config.pooler {
            Pooler::None if !is_checked => settings::came_through(&mut connection, server).await?,
            Pooler::Transaction if !is_checked => {
                settings::fits_transactions(&mut connection, server, &self.config).await?;
            }
            Pooler::None | Pooler::Transaction => {}
            Pooler::Session => {
                settings::take(&mut connection, server).await?;
                if !is_checked {
                    self.look_for_sharing(server, purpose).await?;
                }
                settings::make(&mut connection, server, &self.config, purpose).await?;
            }
        }
        if !is_checked && self.servers.len() > 1 {
            settings::warn_of_loss(&mut connection, server).await?;
        }
        self.is_checked.store(true, Ordering::Relaxed);
        Ok(connection)
    }

    /// Makes a second connection, and looks whether it is the first one's. Where the pooler has no place for a
    /// second one, nothing is shared either.
    async fn look_for_sharing(&self, server: &Server, purpose: Purpose) -> Result<(), ConnectFailure> {
        let looked = timeout(self.config.connect_timeout / 2, async {
            let mut second = self.try_modes(server, purpose).await?;
            settings::take(&mut second, server).await
        });
        match looked.await {
            Ok(Err(failure)) if failure.is_of_pooler() => Err(failure),
            _ => Ok(()),
        }
    }

    /// Tries with and without encryption, as the ssl mode says.
    async fn try_modes(
        &self,
        server: &Server,
        purpose: Purpose,
    ) -> Result<AsyncPgConnection, ConnectFailure> {
        use tokio_postgres::config::SslMode as Wire;
        let establish = |mode, tls| self.establish(server, mode, tls, purpose);
        let Some(tls) = self.tls.as_ref().filter(|_| !server.is_socket()) else {
            return establish(Wire::Disable, None).await;
        };
        match self.config.ssl_mode {
            SslMode::Allow => match establish(Wire::Disable, None).await {
                Err(failure) if failure.depends_on_encryption() => establish(Wire::Require, Some(tls)).await,
                connected => connected,
            },
            SslMode::Prefer => match establish(Wire::Prefer, Some(tls)).await {
                Err(failure) if failure.depends_on_encryption() => establish(Wire::Disable, None).await,
                connected => connected,
            },
            _ => establish(Wire::Require, Some(tls)).await,
        }
    }

    async fn establish(
        &self,
        server: &Server,
        ssl_mode: tokio_postgres::config::SslMode,
        tls: Option<&MakeRustlsConnect>,
        purpose: Purpose,
    ) -> Result<AsyncPgConnection, ConnectFailure> {
        let mut settings = self.settings(server, purpose);
        settings.ssl_mode(ssl_mode);
        let failed = |error: &tokio_postgres::Error| ConnectFailure::of(error, server, &self.config);
        let connection = match tls {
            None => {
                let (client, connection) = settings.connect(NoTls).await.map_err(|error| failed(&error))?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
            Some(tls) => {
                let (client, connection) =
                    settings.connect(tls.clone()).await.map_err(|error| failed(&error))?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
        };
        connection.map_err(|_| ConnectFailure::ended(server))
    }

    fn settings(&self, server: &Server, purpose: Purpose) -> tokio_postgres::Config {
        let config = &self.config;
        let mut settings = tokio_postgres::Config::new();
        settings
            .host(&server.host)
            .port(server.port)
            .dbname(&config.database)
            .user(&config.user)
            .application_name(&config.application_name)
            .keepalives_idle(Duration::from_secs(30))
            .keepalives_interval(Duration::from_secs(10))
            .keepalives_retries(12);
        if config.pooler == Pooler::None {
            settings.options(settings::options(config, purpose));
        }
        if config.wants_primary() {
            settings.target_session_attrs(tokio_postgres::config::TargetSessionAttrs::ReadWrite);
        }
        if let Some(password) = &config.password {
            settings.password(password.expose_secret());
        }
        settings
    }
}

/// `name` as an SQL identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Whether the server refused these credentials over this kind of connection (encrypted or not).
fn refused_by_host_rules(code: &SqlState) -> bool {
    *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_stands_for_another_is_refused() {
        for namespace in ["$user", "pg_temp"] {
            let config = PostgresConfig { namespace: namespace.into(), ..PostgresConfig::default() };
            let error = Connector::new(config).map(|_| ()).unwrap_err().to_string();
            assert!(error.starts_with("invalid value at /namespace: "), "{error}");
        }
    }
}
