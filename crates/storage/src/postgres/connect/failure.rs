//! Why a connection could not be made, in one sentence without secrets.

use std::error::Error as _;
use std::io;

use lcs_domain::RepositoryError;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::{PostgresConfig, Server, refused_by_host_rules};
use crate::postgres::error::{Fault, LOST_STATEMENT, too_many};

/// Why a connection could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::postgres) struct ConnectFailure {
    /// What was tried, how it ended, what to do.
    pub(in crate::postgres) reason: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It may pass by itself: nothing listens, no route, starting up.
    Passing,
    /// It may pass by itself: all places are taken.
    Crowded,
    /// It may pass by itself: the server takes no writes, and another one may be promoted.
    ReadOnly,
    /// It does not pass until somebody changes the configuration, here or there.
    Lasting,
    /// As `Lasting`: what stands between takes away what the promises rest on.
    Pooler,
    /// As `Lasting`, and another kind of connection (encrypted or plain) may be welcome.
    Encryption,
}

impl ConnectFailure {
    /// The failure behind `error`. Only its SQLSTATE and the kind of its cause are read, and messages of
    /// TLS and of the operating system; nothing that a server wrote is repeated.
    pub(super) fn of(error: &Error, server: &Server, config: &PostgresConfig) -> Self {
        let at = server.address();
        if let Some(error) = error.as_db_error() {
            if *error.code() == SqlState::PROTOCOL_VIOLATION {
                return Self::of_pooler(error.message(), server, config);
            }
            return Self::of_code(error.code(), server, config);
        }
        let cause = error.source();
        if let Some(io) = cause.and_then(|cause| cause.downcast_ref::<io::Error>()) {
            return Self::of_io(io, server, config);
        }
        match error.to_string() {
            // The server answered the request for TLS with no.
            kind if kind.starts_with("error performing TLS handshake") => Self {
                reason: format!(
                    "the server at {at} offers no TLS and ssl_mode is {}: switch ssl on at the server, or \
                     write another ssl_mode",
                    config.ssl_mode
                ),
                kind: Kind::Encryption,
            },
            kind if kind.starts_with("invalid configuration") => Self {
                reason: format!("the server at {at} asks for a password and none is configured"),
                kind: Kind::Lasting,
            },
            kind if kind.starts_with("authentication error") => Self {
                reason: format!(
                    "the server at {at} asks for a way to log in that is not supported: use scram-sha-256"
                ),
                kind: Kind::Lasting,
            },
            _ => Self::ended(server),
        }
    }

    /// PgBouncer's own refusals all have one SQLSTATE; they are told apart by how its messages begin.
    fn of_pooler(message: &str, server: &Server, config: &PostgresConfig) -> Self {
        let starts = |prefix: &str| message.starts_with(prefix);
        let at = server.address();
        if starts("unsupported startup parameter") {
            Self::pooler(format!(
                "a pooler stands before the server at {at} and refuses its settings: write how it shares \
                 connections as database.pooler, session or transaction"
            ))
        } else if starts("password authentication failed") || starts("SASL authentication failed") {
            Self::of_code(&SqlState::INVALID_PASSWORD, server, config)
        } else if starts("no such database") {
            Self::of_code(&SqlState::INVALID_CATALOG_NAME, server, config)
        } else if starts("no such user") {
            Self::of_code(&SqlState::INVALID_PASSWORD, server, config)
        } else if starts("no more connections allowed") {
            Self { reason: format!("the pooler at {at} takes no more connections"), kind: Kind::Crowded }
        } else {
            Self {
                reason: format!("the pooler at {at} has no connection to its server"),
                kind: Kind::Passing,
            }
        }
    }

    fn of_code(code: &SqlState, server: &Server, config: &PostgresConfig) -> Self {
        let (at, user, database) = (server.address(), &config.user, &config.database);
        let lasting = |reason| Self { reason, kind: Kind::Lasting };
        let passing = |reason| Self { reason, kind: Kind::Passing };
        match *code {
            SqlState::INVALID_PASSWORD => lasting(format!(
                "password authentication failed for user {user:?} at {at}: correct the user name or the \
                 password"
            )),
            _ if refused_by_host_rules(code) => Self {
                reason: format!(
                    "the server at {at} does not admit user {user:?} to database {database:?} from here: \
                     see its pg_hba.conf, and ssl_mode here"
                ),
                kind: Kind::Encryption,
            },
            SqlState::INVALID_CATALOG_NAME => {
                lasting(format!("there is no database {database:?} at {at}: create it, or correct its name"))
            }
            SqlState::TOO_MANY_CONNECTIONS => Self {
                reason: too_many(&format!("the server at {at} takes no more connections")),
                kind: Kind::Crowded,
            },
            SqlState::CANNOT_CONNECT_NOW => {
                passing(format!("the server at {at} is starting up or shutting down"))
            }
            SqlState::INSUFFICIENT_PRIVILEGE => lasting(format!(
                "user {user:?} may not connect to database {database:?} at {at}: grant connect on it"
            )),
            _ => passing(format!("the server at {at} refused the connection (SQLSTATE {})", code.code())),
        }
    }

    fn of_io(error: &io::Error, server: &Server, config: &PostgresConfig) -> Self {
        let at = server.address();
        if let Some(tls) = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
            return Self {
                reason: format!(
                    "the server's certificate at {at} is not accepted with ssl_mode {}: {}",
                    config.ssl_mode,
                    certificate(tls)
                ),
                kind: Kind::Encryption,
            };
        }
        // The driver's own, of a server that is asked whether it takes writes.
        if error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none() {
            return Self {
                reason: format!("the server at {at} takes no writes: it is a standby, or set to read only"),
                kind: Kind::ReadOnly,
            };
        }
        let reason = match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                format!("nothing listens at {at}: start PostgreSQL there, or correct host and port")
            }
            io::ErrorKind::NotFound if server.is_socket() => {
                format!(
                    "there is no socket for port {} in {}: start PostgreSQL, or correct host and port",
                    server.port, server.host
                )
            }
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                return Self::ended(server);
            }
            _ if error.to_string().contains("lookup address") => {
                format!("the host name {:?} is not known: correct it, or see the name service", server.host)
            }
            // The driver's own: what was answered is no message of the protocol.
            _ if error.raw_os_error().is_none() && is_of_decoding(error) => {
                format!("what listens at {at} does not speak PostgreSQL's protocol: correct host and port")
            }
            _ => format!("{at} cannot be reached: {error}"),
        };
        Self { reason, kind: Kind::Passing }
    }

    /// Why none of several servers could be connected to.
    pub(super) fn of_all(mut failures: Vec<Self>) -> Self {
        if failures.len() == 1
            && let Some(failure) = failures.pop()
        {
            return failure;
        }
        let all = |kind| failures.iter().all(|failure| failure.kind == kind);
        let kind = if all(Kind::Pooler) {
            Kind::Pooler
        } else if failures.iter().all(Self::is_lasting) {
            Kind::Lasting
        } else if all(Kind::ReadOnly) {
            Kind::ReadOnly
        } else if all(Kind::Crowded) {
            Kind::Crowded
        } else {
            Kind::Passing
        };
        let reasons: Vec<_> = failures.into_iter().map(|failure| failure.reason).collect();
        Self { reason: reasons.join("; "), kind }
    }

    /// No answer within the time limit.
    pub(super) fn timed_out(server: &Server, config: &PostgresConfig) -> Self {
        Self {
            reason: format!(
                "{} did not answer within {:?}: see whether it is reachable and is PostgreSQL",
                server.address(),
                config.connect_timeout
            ),
            kind: Kind::Passing,
        }
    }

    /// The server closed the connection before it was of use.
    pub(super) fn ended(server: &Server) -> Self {
        Self {
            reason: format!("the server at {} closed the connection while it was made", server.address()),
            kind: Kind::Passing,
        }
    }

    /// Whether trying again without any change is in vain.
    pub(in crate::postgres) const fn is_lasting(&self) -> bool {
        matches!(self.kind, Kind::Lasting | Kind::Encryption | Kind::Pooler)
    }

    /// What stands between does not fit.
    pub(super) const fn pooler(reason: String) -> Self {
        Self { reason, kind: Kind::Pooler }
    }

    /// Whether what stands between does not fit.
    pub(super) const fn is_of_pooler(&self) -> bool {
        matches!(self.kind, Kind::Pooler)
    }

    /// What a statement that belongs to connecting came to.
    pub(super) fn of_fault(fault: Fault, server: &Server) -> Self {
        match fault {
            Fault::Lost(_) => Self::ended(server),
            fault => match fault.into_error() {
                RepositoryError::Backend { reason, .. } if reason == LOST_STATEMENT => Self::pooler(reason),
                error => Self { reason: error.to_string(), kind: Kind::Passing },
            },
        }
    }

    /// Whether the server may take a connection that is (not) encrypted, where this one was not (was).
    pub(super) const fn depends_on_encryption(&self) -> bool {
        matches!(self.kind, Kind::Encryption)
    }

    /// What this failure is to a caller.
    pub(in crate::postgres) fn to_error(&self) -> RepositoryError {
        match self.kind {
            Kind::Crowded => RepositoryError::Overloaded { reason: self.reason.clone() },
            Kind::Pooler => RepositoryError::Backend { reason: self.reason.clone(), source: None },
            Kind::ReadOnly => RepositoryError::ReadOnly { reason: self.reason.clone() },
            _ => RepositoryError::unavailable(self.reason.clone()),
        }
    }
}

/// Whether the driver could make no message of what it read.
fn is_of_decoding(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
        || error.to_string() == "bytes remaining on stream"
}

fn certificate(error: &rustls::Error) -> String {
    use rustls::{CertificateError, Error};
    match error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "no trusted authority has signed it: set ca_cert_path to the file with the one that did".into()
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "it names another host: correct the host, or write ssl_mode verify-ca".into(),
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "it has expired: renew it".into()
        }
        // Of certificates and of the protocol, never of what travels in it.
        error => error.to_string(),
    }
}
