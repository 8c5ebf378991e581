//! Making one connection: settings in the startup packet, TLS, and what it means when it fails.

mod failure;

use std::fmt::Write as _;
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
use super::config::{PostgresConfig, SslMode};
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
    tls: Option<MakeRustlsConnect>,
}

impl Connector {
    pub(super) fn new(config: PostgresConfig) -> RepositoryResult<Self> {
        if let Some(problem) = config.namespace_problem() {
            return Err(RepositoryError::invalid("/namespace", problem));
        }
        let tls = ssl::connector(&config)?;
        if matches!(config.ssl_mode, SslMode::Allow | SslMode::Prefer) && !config.is_local() {
            tracing::warn!(
                host = config.host,
                ssl_mode = config.ssl_mode.as_str(),
                "the connection may go unencrypted over the network: set ssl_mode to verify-full, or at \
                 least to require"
            );
        }
        Ok(Self { config, tls })
    }

    pub(super) const fn config(&self) -> &PostgresConfig {
        &self.config
    }

    /// A new connection.
    ///
    /// The time limit spans everything: tokio-postgres limits the TCP connect alone, and a server that
    /// accepts and never answers would hold a place in the pool for ever.
    pub(super) async fn connect(&self, purpose: Purpose) -> Result<AsyncPgConnection, ConnectFailure> {
        match timeout(self.config.connect_timeout, self.try_modes(purpose)).await {
            Ok(connected) => connected,
            Err(_) => Err(ConnectFailure::timed_out(&self.config)),
        }
    }

    /// Tries with and without encryption, as the ssl mode says.
    async fn try_modes(&self, purpose: Purpose) -> Result<AsyncPgConnection, ConnectFailure> {
        use tokio_postgres::config::SslMode as Wire;
        let Some(tls) = &self.tls else {
            return self.establish(Wire::Disable, None, purpose).await;
        };
        match self.config.ssl_mode {
            SslMode::Allow => match self.establish(Wire::Disable, None, purpose).await {
                Err(failure) if failure.depends_on_encryption() => {
                    self.establish(Wire::Require, Some(tls), purpose).await
                }
                connected => connected,
            },
            SslMode::Prefer => match self.establish(Wire::Prefer, Some(tls), purpose).await {
                Err(failure) if failure.depends_on_encryption() => {
                    self.establish(Wire::Disable, None, purpose).await
                }
                connected => connected,
            },
            _ => self.establish(Wire::Require, Some(tls), purpose).await,
        }
    }

    async fn establish(
        &self,
        ssl_mode: tokio_postgres::config::SslMode,
        tls: Option<&MakeRustlsConnect>,
        purpose: Purpose,
    ) -> Result<AsyncPgConnection, ConnectFailure> {
        let mut settings = self.settings(purpose);
        settings.ssl_mode(ssl_mode);
        let failed = |error: &tokio_postgres::Error| ConnectFailure::of(error, &self.config);
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
        connection.map_err(|_| ConnectFailure::ended(&self.config))
    }

    fn settings(&self, purpose: Purpose) -> tokio_postgres::Config {
        let config = &self.config;
        let mut settings = tokio_postgres::Config::new();
        settings
            .host(&config.host)
            .port(config.port)
            .dbname(&config.database)
            .user(&config.user)
            .application_name(&config.application_name)
            .options(options(config, purpose))
            .keepalives_idle(Duration::from_secs(30))
            .keepalives_interval(Duration::from_secs(10))
            .keepalives_retries(12);
        if let Some(password) = &config.password {
            settings.password(password.expose_secret());
        }
        settings
    }
}

/// The settings that go with the startup packet, so that no statement has to set them.
fn options(config: &PostgresConfig, purpose: Purpose) -> String {
    let statement_timeout = match purpose {
        Purpose::Service => config.statement_timeout,
        Purpose::Maintenance => config.maintenance_timeout,
    };
    let mut options = String::new();
    for (name, duration) in [
        ("statement_timeout", statement_timeout),
        ("lock_timeout", config.lock_timeout),
        ("idle_in_transaction_session_timeout", config.idle_in_transaction_timeout),
        // A statement whose client has gone keeps its locks until the server looks.
        ("client_connection_check_interval", Duration::from_millis(500)),
    ] {
        // Zero would mean "no limit" to the server.
        let _ =
            write!(options, "-c {name}={} ", duration.as_millis().clamp(1, i32::MAX.unsigned_abs().into()));
    }
    let namespace = quoted(&config.namespace);
    options.push_str("-c search_path=");
    // The server splits the options at white space that no backslash stands before.
    for character in namespace.chars() {
        if character.is_whitespace() || character == '\\' {
            options.push('\\');
        }
        options.push(character);
    }
    options
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

    #[test]
    fn settings_go_with_the_startup_packet() {
        let config = PostgresConfig { namespace: "my \"odd\\ name".into(), ..PostgresConfig::default() };
        assert_eq!(
            options(&config, Purpose::Service),
            "-c statement_timeout=3000 -c lock_timeout=2000 -c idle_in_transaction_session_timeout=5000 \
             -c client_connection_check_interval=500 -c search_path=\"my\\ \"\"odd\\\\\\ name\""
        );
        assert!(options(&config, Purpose::Maintenance).starts_with("-c statement_timeout=300000 "));
    }
}
