//! The service's part of the configuration: where it listens, and how much it takes at once.

use std::net::IpAddr;
use std::time::Duration;

use super::authentication::{self, AuthenticationConfig, AuthenticationModule};
use super::document::{Authentication, Persistence, Service};
use super::operator::{self, OperatorConfig};
use super::reader::Reader;
use super::size;

/// How the service is reached, what it takes, and who is let in.
#[derive(Debug, Clone)]
pub struct ServiceConfig {
    /// The name or address that it listens on.
    pub host: String,
    /// The port that it listens on; 0 is any that is free.
    pub port: u16,
    /// How large a request's body may be.
    pub max_body_bytes: usize,
    /// How large a request's head may be, its first line included; at least 8,192.
    pub max_header_bytes: usize,
    /// How many requests are answered at the same time; more are refused at once.
    pub max_concurrent_requests: usize,
    /// How long a request may take until its answer begins.
    pub request_timeout: Duration,
    /// How long a client may take to send a request's head, and how long it may keep an idle connection.
    pub header_read_timeout: Duration,
    /// How long what was accepted may still take when the service is told to stop.
    pub shutdown_timeout: Duration,
    /// How long a request whose process is gone still counts as being answered: only then another process
    /// that is sent it again, with its key, answers it.
    pub request_lease: Duration,
    /// How often what has been idle too long is removed; `None` is never.
    pub retention_interval: Option<Duration>,
    /// How often it is looked at how the database is doing; `None` is never.
    pub monitoring_interval: Option<Duration>,
    /// How the service finds out who asks.
    pub authentication: AuthenticationConfig,
    /// How the service knows its operator; `None`: it has none.
    pub operator: Option<OperatorConfig>,
}

impl ServiceConfig {
    /// Whether the service may listen where it is told to: a module that checks nothing is for this machine
    /// alone, unless that is allowed in so many words. To be asked when [`host`](Self::host) is final.
    ///
    /// # Errors
    /// A sentence that says what to write.
    pub fn check(&self) -> Result<(), String> {
        if self.host.trim().is_empty() {
            return Err("the host is empty: write the address to listen at, such as 127.0.0.1".to_owned());
        }
        let module = match self.authentication.module {
            AuthenticationModule::Noop => "noop",
            AuthenticationModule::NoopWithToken => "noop-with-token",
            _ => return Ok(()),
        };
        if self.authentication.allow_noop_beyond_loopback || is_loopback(&self.host) {
            return Ok(());
        }
        let host = &self.host;
        Err(format!(
            "with {module} authentication whoever reaches {host} can be any user: write another \
             persistence.authentication.module, or the host 127.0.0.1, or, where something else checks who \
             comes in, allow_noop_beyond_loopback: true"
        ))
    }
}

/// Whether only this machine reaches `host`. A name other than localhost may be anything.
fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    address.parse::<IpAddr>().map_or_else(
        |_| host.eq_ignore_ascii_case("localhost"),
        |address| address.to_canonical().is_loopback(),
    )
}

/// Reads the sections `service`, `authentication` and `operator`.
pub(super) fn read(reader: &mut Reader<'_>, persistence: &Persistence) -> ServiceConfig {
    let (no_service, no_authentication) = (Service::default(), Authentication::default());
    let section = persistence.service.as_ref().unwrap_or(&no_service);
    let host = host(reader, section);
    let mut number = |name: &str, value, range, unit, default: u32| {
        reader.number(&format!("persistence.service.{name}"), value, range, unit, default)
    };
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let port = number("port", &section.port, 0..=65_535, "", 8080);
    let max_body =
        number("max_body_bytes", &section.max_body_bytes, 1_048_576..=268_435_456, "bytes", 8_388_608);
    let max_header =
        number("max_header_bytes", &section.max_header_bytes, 8_192..=1_048_576, "bytes", 16_384);
    let max_concurrent =
        number("max_concurrent_requests", &section.max_concurrent_requests, 1..=100_000, "requests", 512);
    let request =
        number("request_timeout_seconds", &section.request_timeout_seconds, 1..=3_600, "seconds", 330);
    let header_read =
        number("header_read_timeout_seconds", &section.header_read_timeout_seconds, 1..=300, "seconds", 10);
    let shutdown =
        number("shutdown_timeout_seconds", &section.shutdown_timeout_seconds, 1..=3_600, "seconds", 30);
    let lease = number("request_lease_seconds", &section.request_lease_seconds, 1..=3_600, "seconds", 30);
    let retention = number(
        "retention_interval_seconds",
        &section.retention_interval_seconds,
        0..=31 * 24 * 3_600,
        "seconds (0: never)",
        3_600,
    );
    let monitoring = number(
        "monitoring_interval_seconds",
        &section.monitoring_interval_seconds,
        0..=24 * 3_600,
        "seconds (0: never)",
        60,
    );
    let authentication =
        authentication::read(reader, persistence.authentication.as_ref().unwrap_or(&no_authentication));
    let operator = operator::read(reader, persistence.operator.as_ref(), &authentication.module);
    ServiceConfig {
        host,
        // Within the range above there is nothing that does not fit.
        port: u16::try_from(port).unwrap_or_default(),
        max_body_bytes: size(max_body),
        max_header_bytes: size(max_header),
        max_concurrent_requests: size(max_concurrent),
        request_timeout: seconds(request),
        header_read_timeout: seconds(header_read),
        shutdown_timeout: seconds(shutdown),
        request_lease: seconds(lease),
        retention_interval: (retention > 0).then(|| seconds(retention)),
        monitoring_interval: (monitoring > 0).then(|| seconds(monitoring)),
        authentication,
        operator,
    }
}

fn host(reader: &mut Reader<'_>, section: &Service) -> String {
    const KEY: &str = "persistence.service.host";
    let host = reader.text(KEY, &section.host).unwrap_or_else(|| "127.0.0.1".into());
    if host.contains(['/', '@', '?']) || host.contains(char::is_whitespace) {
        reader.problem(KEY, "it is more than a host: write a name or an address only");
    }
    host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for host in ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "::ffff:127.0.0.1", "localhost", "LOCALHOST"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["0.0.0.0", "::", "[::]", "10.0.0.1", "localhost.example", "127.0.0.1.example", ""] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
