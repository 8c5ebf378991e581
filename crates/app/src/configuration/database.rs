//! The PostgreSQL part of the configuration: the keys under `persistence.database`, or a URL over them.

use std::time::Duration;

use lcs_storage::postgres::{Pooler, PostgresConfig, Server, SslMode, TargetSessionAttrs, UnknownSslMode};
use secrecy::SecretString;

use super::database_url::PostgresqlUrl;
use super::document::{Database, Value};
use super::file::{check_certificates, secret};
use super::reader::Reader;

/// The environment variable that holds the password where neither the file nor the URL does.
pub const PASSWORD_VARIABLE: &str = "LCS_PERSISTENCE_PASSWORD";

const CA_CERT_PATH: &str = "persistence.database.ca_cert_path";
const NAMESPACE: &str = "persistence.database.namespace";

/// The most connections that one process may have: `pool_size` and `max_overflow` together.
const MAX_CONNECTIONS: u32 = 1_000;
/// The time limits that can be set, in seconds: less is no time for a server on another machine.
const SHORTEST: f64 = 0.05;
const LONGEST: f64 = 3_600.0;
/// The longest a connection may live, in seconds: a month.
const MAX_RECYCLE_SECONDS: i64 = 31 * 24 * 3_600;

/// Reads the section; what `url` says stands above it. With a URL, the section's host, port, name and
/// credentials are not used at all: a password must never be sent to a host that it was not written for.
pub(super) fn read(
    reader: &mut Reader<'_>,
    section: &Database,
    url: Option<PostgresqlUrl>,
) -> PostgresConfig {
    let (says_ssl_mode, says_namespace, says_pooler) = url
        .as_ref()
        .map_or((false, false, false), |url| (url.says_ssl_mode, url.says_namespace, url.says_pooler));
    let ca_cert_key = match &url {
        Some(url) if url.config.ca_cert_path.is_some() => "sslrootcert in the URL",
        _ => CA_CERT_PATH,
    };
    let mut config = match url {
        Some(url) => url.config,
        None => server(reader, section),
    };
    if config.password.is_none() {
        config.password = reader.environment(PASSWORD_VARIABLE).map(SecretString::from);
    }
    if !says_ssl_mode {
        config.ssl_mode = ssl_mode(reader, section);
    }
    if !says_namespace && let Some(namespace) = reader.text(NAMESPACE, &section.namespace) {
        config.namespace = namespace;
    }
    check_namespace(reader, &config.namespace);
    config.row_level_security =
        reader.flag("persistence.database.row_level_security", &section.row_level_security, false);
    if config.ca_cert_path.is_none() {
        config.ca_cert_path = reader.path(CA_CERT_PATH, &section.ca_cert_path);
    }
    check_ca_certificate(reader, ca_cert_key, &config);
    config.pool_timeout = Duration::from_secs(reader.number(
        "persistence.database.pool_timeout",
        &section.pool_timeout,
        1..=3_600,
        "seconds",
        30,
    ));
    if config.target_session_attrs.is_none() {
        config.target_session_attrs = reader.word(
            "persistence.database.target_session_attrs",
            &section.target_session_attrs,
            &[TargetSessionAttrs::ReadWrite, TargetSessionAttrs::Any]
                .map(|target| (target.as_str(), Some(target))),
            "read-write or any",
            None,
        );
    }
    if !says_pooler {
        config.pooler = reader.word(
            "persistence.database.pooler",
            &section.pooler,
            &[Pooler::None, Pooler::Session, Pooler::Transaction].map(|pooler| (pooler.as_str(), pooler)),
            "none, session or transaction",
            Pooler::None,
        );
    }
    let mut seconds = |name: &str, value: &Value, default| {
        reader.seconds(&format!("persistence.database.{name}"), value, SHORTEST..=LONGEST, default)
    };
    config.operation_timeout =
        seconds("operation_timeout", &section.operation_timeout, config.operation_timeout);
    config.connect_timeout = seconds("connect_timeout", &section.connect_timeout, config.connect_timeout);
    config.statement_timeout =
        seconds("statement_timeout", &section.statement_timeout, config.statement_timeout);
    config.lock_timeout = seconds("lock_timeout", &section.lock_timeout, config.lock_timeout);
    config.idle_in_transaction_timeout = seconds(
        "idle_in_transaction_timeout",
        &section.idle_in_transaction_timeout,
        config.idle_in_transaction_timeout,
    );
    (config.pool_size, config.max_overflow) = pool(reader, section);
    config.pool_recycle = pool_recycle(reader, section);
    config
}

/// The keys that say which database it is, and who we are there.
fn server(reader: &mut Reader<'_>, section: &Database) -> PostgresConfig {
    let defaults = PostgresConfig::default();
    let (first, other_servers) = servers(reader, section);
    PostgresConfig {
        host: first.host,
        port: first.port,
        other_servers,
        database: name(reader, "persistence.database.name", &section.name, defaults.database),
        user: name(reader, "persistence.database.username", &section.username, defaults.user),
        password: secret(
            reader,
            "persistence.database",
            "password",
            &section.password,
            &section.password_file,
        ),
        ..PostgresConfig::default()
    }
}

fn ssl_mode(reader: &mut Reader<'_>, section: &Database) -> SslMode {
    const KEY: &str = "persistence.database.ssl_mode";
    let Some(text) = reader.text(KEY, &section.ssl_mode) else { return SslMode::Prefer };
    text.trim().to_ascii_lowercase().parse().unwrap_or_else(|error: UnknownSslMode| {
        reader.problem(KEY, error.to_string());
        // A mode that nothing else in the section contradicts.
        SslMode::Require
    })
}

fn name(reader: &mut Reader<'_>, key: &str, value: &Value, default: String) -> String {
    reader.text(key, value).unwrap_or(default)
}

/// The servers, as libpq has them: hosts with commas between them, and a port for each or one for all.
fn servers(reader: &mut Reader<'_>, section: &Database) -> (Server, Vec<Server>) {
    const HOST: &str = "persistence.database.host";
    const PORT: &str = "persistence.database.port";
    let hosts = reader.text(HOST, &section.host).unwrap_or_else(|| "localhost".into());
    let hosts: Vec<&str> = hosts.split(',').map(str::trim).collect();
    let more = |host: &&str| {
        host.is_empty()
            || host.contains("://")
            || host.contains(['@', '?'])
            || host.contains(char::is_whitespace)
    };
    if hosts.iter().any(more) {
        reader.problem(
            HOST,
            "it is more than a host: write its name or address only, or a socket's folder, and commas \
             between several",
        );
    }
    let text = reader.text(PORT, &section.port);
    let ports: Vec<Value> = text.map_or_else(
        || vec![None],
        |text| text.split(',').map(|port| Some(port.trim().to_owned())).collect(),
    );
    if ports.len() > 1 && ports.len() != hosts.len() {
        reader.problem(PORT, "there are more or fewer ports than hosts: write one for each, or one for all");
    }
    let ports: Vec<u16> = ports.iter().map(|port| reader.number(PORT, port, 1..=65_535, "", 5432)).collect();
    let all = ports.first().copied().unwrap_or(5432);
    let mut servers = hosts.iter().enumerate().map(|(index, host)| Server {
        host: (*host).to_owned(),
        port: ports.get(index).copied().unwrap_or(all),
    });
    let first = servers.next().unwrap_or(Server { host: String::new(), port: all });
    let others = servers.collect();
    (first, others)
}

fn check_ca_certificate(reader: &mut Reader<'_>, key: &str, config: &PostgresConfig) {
    let Some(file) = &config.ca_cert_path else { return };
    if let SslMode::Disable | SslMode::Allow | SslMode::Prefer = config.ssl_mode {
        let mode = config.ssl_mode;
        reader.problem(
            key,
            format!("it is not used with ssl_mode {mode}: remove it, or write verify-full or verify-ca"),
        );
        return;
    }
    check_certificates(reader, key, file);
}

/// The rule for a schema's name is LCS's, but for what PostgreSQL keeps for itself: a prefix, and `$user`,
/// which is no name in its search path.
fn check_namespace(reader: &mut Reader<'_>, name: &str) {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$';
    let reserved = name.starts_with("pg_") || name == "$user";
    if name.is_empty() || name.len() > 63 || !name.bytes().all(allowed) || reserved {
        reader.problem(
            NAMESPACE,
            "it is no schema's name: write 1 to 63 letters, digits, _ and $, but not $user, and do not begin with pg_",
        );
    }
}

fn pool(reader: &mut Reader<'_>, section: &Database) -> (u32, u32) {
    let pool_size = reader.number(
        "persistence.database.pool_size",
        &section.pool_size,
        1..=MAX_CONNECTIONS,
        "connections",
        20,
    );
    let max_overflow = reader.number(
        "persistence.database.max_overflow",
        &section.max_overflow,
        0..=MAX_CONNECTIONS,
        "connections",
        30,
    );
    if pool_size + max_overflow > MAX_CONNECTIONS {
        let message = format!(
            "with pool_size it makes {} connections: write numbers that make at most {MAX_CONNECTIONS}",
            pool_size + max_overflow
        );
        reader.problem("persistence.database.max_overflow", message);
    }
    (pool_size, max_overflow)
}

/// `None` is never: -1 in the file.
fn pool_recycle(reader: &mut Reader<'_>, section: &Database) -> Option<Duration> {
    const KEY: &str = "persistence.database.pool_recycle";
    let seconds =
        reader.number(KEY, &section.pool_recycle, -1..=MAX_RECYCLE_SECONDS, "seconds (-1: never)", 3_600);
    if seconds == 0 {
        reader
            .problem(KEY, "0 would renew every connection at once: write 1 or more seconds, or -1 for never");
    }
    u64::try_from(seconds).ok().map(Duration::from_secs)
}
