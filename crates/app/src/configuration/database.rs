//! The PostgreSQL part of the configuration: the keys under `persistence.database`, or a URL over them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use super::database_url::PostgresqlUrl;
use super::document::Database;
use super::reader::Reader;

/// The environment variable that holds the password where neither the file nor the URL does.
pub const PASSWORD_VARIABLE: &str = "LCS_PERSISTENCE_PASSWORD";

/// The most connections that one process may have: `pool_size` and `max_overflow` together.
const MAX_CONNECTIONS: u32 = 1_000;
/// The longest a connection may live, in seconds: a month.
const MAX_RECYCLE_SECONDS: i64 = 31 * 24 * 3_600;

/// How the connection to a PostgreSQL server is secured: libpq's six modes, with libpq's meanings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// A PostgreSQL database, and how to talk to it.
#[derive(Debug, Clone)]
pub struct DatabaseConfiguration {
    pub host: String,
    pub port: u16,
    pub name: String,
    pub username: String,
    pub password: Option<SecretString>,
    pub ssl_mode: SslMode,
    pub ca_cert_path: Option<PathBuf>,
    pub namespace: String,
    pub pool_size: u32,
    pub max_overflow: u32,
    pub pool_timeout: Duration,
    pub pool_recycle: Option<Duration>,
}

/// Reads the section; what `url` says stands above it. With a URL, the section's host, port, name and
/// credentials are not used at all: a password must never be sent to a host that it was not written for.
pub(super) fn read(
    reader: &mut Reader<'_>,
    section: &Database,
    url: Option<PostgresqlUrl>,
) -> DatabaseConfiguration {
    let (url_ssl_mode, url_ca_cert_path) =
        url.as_ref().map_or((None, None), |url| (url.ssl_mode.clone(), url.ca_cert_path.clone()));
    let ssl_mode = reader.word(
        "persistence.database.ssl_mode",
        &url_ssl_mode.or_else(|| section.ssl_mode.clone()),
        &[
            ("disable", SslMode::Disable),
            ("allow", SslMode::Allow),
            ("prefer", SslMode::Prefer),
            ("require", SslMode::Require),
            ("verify-ca", SslMode::VerifyCa),
            ("verify-full", SslMode::VerifyFull),
        ],
        "disable, allow, prefer, require, verify-ca or verify-full",
        SslMode::Prefer,
    );
    let ca_cert_path =
        url_ca_cert_path.or_else(|| reader.path("persistence.database.ca_cert_path", &section.ca_cert_path));
    check_ca_certificate(reader, ca_cert_path.as_deref(), ssl_mode);
    let (pool_size, max_overflow) = pool(reader, section);
    let pool_timeout =
        reader.number("persistence.database.pool_timeout", &section.pool_timeout, 1..=3_600, "seconds", 30);
    let (host, port, name, username, password) = match url {
        Some(url) => {
            let password = url.password.or_else(|| environment_password(reader));
            (url.host, url.port.unwrap_or(5432), url.name, url.username, password)
        }
        None => (
            host(reader, section),
            reader.number("persistence.database.port", &section.port, 1..=65_535, "", 5432),
            required(reader, "persistence.database.name", &section.name, "the database's name"),
            required(reader, "persistence.database.username", &section.username, "the database user's name"),
            password(reader, section),
        ),
    };
    DatabaseConfiguration {
        host,
        port,
        name,
        username,
        password,
        ssl_mode,
        ca_cert_path,
        namespace: namespace(reader, section),
        pool_size,
        max_overflow,
        pool_timeout: Duration::from_secs(pool_timeout),
        pool_recycle: pool_recycle(reader, section),
    }
}

fn required(reader: &mut Reader<'_>, key: &str, value: &Option<String>, what: &str) -> String {
    let before = reader.problem_count();
    let text = reader.text(key, value);
    if text.is_none() && reader.problem_count() == before {
        reader.problem(key, format!("it is missing: write {what}"));
    }
    text.unwrap_or_default()
}

fn host(reader: &mut Reader<'_>, section: &Database) -> String {
    const KEY: &str = "persistence.database.host";
    let host = reader.text(KEY, &section.host).unwrap_or_else(|| "localhost".into());
    if host.contains("://") || host.contains(['@', '?']) || host.contains(char::is_whitespace) {
        reader.problem(KEY, "it is more than a host: write its name or address only, or a socket's folder");
    }
    host
}

fn password(reader: &mut Reader<'_>, section: &Database) -> Option<SecretString> {
    const FILE: &str = "persistence.database.password_file";
    let password = reader.text("persistence.database.password", &section.password).map(SecretString::from);
    let file = reader.path(FILE, &section.password_file);
    match (password, file) {
        (Some(_), Some(_)) => {
            reader.problem(FILE, "password is set too: keep one of password and password_file");
            None
        }
        (None, Some(file)) => match read_password(&file) {
            Ok(password) => Some(password),
            Err(message) => {
                reader.problem(FILE, message);
                None
            }
        },
        (password, None) => password.or_else(|| environment_password(reader)),
    }
}

fn environment_password(reader: &Reader<'_>) -> Option<SecretString> {
    reader.environment(PASSWORD_VARIABLE).map(SecretString::from)
}

/// The file's content but for one newline at its end, which an editor or `echo` leaves there.
fn read_password(file: &Path) -> Result<SecretString, String> {
    let text = fs::read_to_string(file).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => {
            format!("{} is not UTF-8 text: write the password alone", file.display())
        }
        kind => {
            format!("{} cannot be read ({kind}): write a file that this process may read", file.display())
        }
    })?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        return Err(format!("{} is empty: write the password into it", file.display()));
    }
    Ok(SecretString::from(password))
}

fn check_ca_certificate(reader: &mut Reader<'_>, file: Option<&Path>, ssl_mode: SslMode) {
    const KEY: &str = "persistence.database.ca_cert_path";
    let Some(file) = file else { return };
    if ssl_mode == SslMode::Disable {
        reader
            .problem(KEY, "it is not used with ssl_mode disable: remove it, or write ssl_mode: verify-full");
    } else if let Err(error) = fs::File::open(file).and_then(|opened| opened.metadata()) {
        let message = format!(
            "{} cannot be read ({}): write the path of a file with certificates in PEM form",
            file.display(),
            error.kind()
        );
        reader.problem(KEY, message);
    } else if !file.is_file() {
        let message = format!(
            "{} is not a file: write the path of a file with certificates in PEM form",
            file.display()
        );
        reader.problem(KEY, message);
    }
}

/// The rule for a schema's name is LCS's, but for the prefix that PostgreSQL keeps for itself.
fn namespace(reader: &mut Reader<'_>, section: &Database) -> String {
    const KEY: &str = "persistence.database.namespace";
    let name = reader.text(KEY, &section.namespace).unwrap_or_else(|| "public".into());
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$';
    if name.len() > 63 || !name.bytes().all(allowed) || name.starts_with("pg_") {
        reader.problem(
            KEY,
            "it is no schema's name: write 1 to 63 letters, digits, _ and $, and do not begin with pg_",
        );
    }
    name
}

fn pool(reader: &mut Reader<'_>, section: &Database) -> (u32, u32) {
    let pool_size = reader.number(
        "persistence.database.pool_size",
        &section.pool_size,
        1..=MAX_CONNECTIONS,
        "connections",
        10,
    );
    let max_overflow = reader.number(
        "persistence.database.max_overflow",
        &section.max_overflow,
        0..=MAX_CONNECTIONS,
        "connections",
        20,
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

/// `None` is for ever: what SQLAlchemy calls -1.
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
