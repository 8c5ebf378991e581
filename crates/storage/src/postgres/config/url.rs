//! `postgres://` URLs.

use lcs_domain::RepositoryError;
use tokio_postgres::config::Host;

use super::{PostgresConfig, Server};

const MALFORMED: &str = "not a PostgreSQL URL: write \
    postgres://user:password@host:5432/database?sslmode=require, with special characters in user and \
    password percent-encoded (@ as %40, / as %2F, ? as %3F, # as %23, % as %25)";
const PARAMETERS: &str = "a parameter of the PostgreSQL URL is not known: write sslmode, sslrootcert, \
    application_name, namespace, target_session_attrs or pooler, and ? in a password as %3F";

const TWO_SIGNS: &str = "the PostgreSQL URL has more than one @: write @ in the password as %40";

pub(super) fn parse(url: &str) -> Result<PostgresConfig, RepositoryError> {
    let (server, parameters) = url.split_once('?').unwrap_or((url, ""));
    // The driver ends the password at the first @: what is behind it would be shown and looked up as the host.
    if server.matches('@').nth(1).is_some() {
        return Err(invalid(TWO_SIGNS));
    }
    if !server.starts_with("postgres://") && !server.starts_with("postgresql://") {
        return Err(malformed());
    }
    // tokio-postgres knows neither all modes nor our parameters: it is given the rest.
    let parsed: tokio_postgres::Config = server.parse().map_err(|_| malformed())?;
    let mut config = PostgresConfig::default();
    for (index, host) in parsed.get_hosts().iter().enumerate() {
        let host = match host {
            Host::Tcp(host) => host.clone(),
            Host::Unix(folder) => folder.to_str().ok_or_else(malformed)?.to_owned(),
        };
        // There is a port for each host, or one for all, or none.
        let port = parsed.get_ports().get(index).or(parsed.get_ports().first());
        let server = Server { host, port: port.copied().unwrap_or(config.port) };
        if server.host.is_empty() {
            return Err(malformed());
        }
        if index == 0 {
            (config.host, config.port) = (server.host, server.port);
        } else {
            config.other_servers.push(server);
        }
    }
    if let Some(user) = parsed.get_user() {
        user.clone_into(&mut config.user);
    }
    if let Some(password) = parsed.get_password() {
        let password = std::str::from_utf8(password).map_err(|_| malformed())?;
        config.password = Some(password.to_owned().into());
    }
    match parsed.get_dbname() {
        Some(name) => name.clone_into(&mut config.database),
        None => return Err(malformed()),
    }
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').ok_or_else(malformed)?;
        let value = percent_decoded(value).ok_or_else(malformed)?;
        match name {
            "sslmode" => {
                config.ssl_mode = value
                    .parse()
                    .map_err(|error: super::UnknownSslMode| invalid(&format!("sslmode is {error}")))?;
            }
            "sslrootcert" => config.ca_cert_path = Some(value.into()),
            "application_name" => config.application_name = value,
            "namespace" => config.namespace = value,
            "pooler" => {
                config.pooler = value.parse().map_err(|error| invalid(&format!("pooler is {error}")))?;
            }
            "target_session_attrs" => {
                let target = value.parse();
                config.target_session_attrs =
                    Some(target.map_err(|error| invalid(&format!("target_session_attrs is {error}")))?);
            }
            _ => return Err(invalid(PARAMETERS)),
        }
    }
    config.namespace_problem().map_or(Ok(config), |problem| Err(invalid(problem)))
}

fn malformed() -> RepositoryError {
    invalid(MALFORMED)
}

fn invalid(reason: &str) -> RepositoryError {
    RepositoryError::invalid("/url", reason)
}

/// `text` with its `%xx` put back; `None` where they are not hexadecimal or not UTF-8.
fn percent_decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::postgres::SslMode;

    #[test]
    fn every_part_is_read_and_decoded() {
        let config = parse(
            "postgres://us%40er:p%40%2F%25%3Fw@db.example.org:6432/li%67ht?sslmode=verify-full\
             &sslrootcert=/etc/my%20ca.pem&namespace=lcs&application_name=a",
        )
        .unwrap();
        assert_eq!(
            (config.user.as_str(), config.host.as_str(), config.port),
            ("us@er", "db.example.org", 6432)
        );
        assert_eq!(config.password.unwrap().expose_secret(), "p@/%?w");
        assert_eq!(config.database, "light");
        assert_eq!(config.ssl_mode, SslMode::VerifyFull);
        assert_eq!(config.ca_cert_path.unwrap().to_str(), Some("/etc/my ca.pem"));
        assert_eq!((config.namespace.as_str(), config.application_name.as_str()), ("lcs", "a"));
        let config = parse("postgresql://u@%2Frun%2Fpostgresql/d").unwrap();
        assert_eq!((config.host.as_str(), config.port), ("/run/postgresql", 5432));
        assert!(config.password.is_none());
    }

    #[test]
    fn several_servers_are_written_as_libpq_has_it() {
        let at =
            |url: &str| -> Vec<_> { parse(url).unwrap().servers().map(|server| server.address()).collect() };
        assert_eq!(at("postgresql://u:p@a:1,b:2,c/d"), ["a:1", "b:2", "c:5432"]);
        assert_eq!(at("postgres://u@[::1]:6,%2Frun/d"), ["::1:6", "/run:5432"]);
        assert!(!parse("postgres://u@a/d").unwrap().wants_primary());
        assert!(parse("postgres://u@a,b/d").unwrap().wants_primary());
        assert!(!parse("postgres://u@a,b/d?target_session_attrs=any").unwrap().wants_primary());
        assert!(parse("postgres://u@a/d?target_session_attrs=read-write").unwrap().wants_primary());
    }

    #[test]
    fn a_malformed_url_says_what_to_write_and_repeats_nothing() {
        for url in [
            "",
            "mysql://u:hunter2@h/d",
            "postgres://u:hunter2@h",
            "postgres://u:hunter2@h:port/d",
            "postgres://u:hunter2@h:99999/d",
            "postgres://u:hunter2@a,/d",
            "postgres://u:hunter2@a:1,b:hunter2/d",
            "postgres://u:hunter2@a,b/d?target_session_attrs=hunter2",
            "postgres://u:hun?ter2@h/d",
            "postgres://u:a@hunter2@h/d",
            "postgres://u:a@hunter2/x@h/d",
            "postgres://u:a@hunter2?@h/d",
            "postgres://u:hunter2%@h/d?sslmode=no",
            "postgres://u:hunter2@h/d?sslmode",
            "postgres://u:hunter2@h/d?hunter2=1",
            "postgres://u:hunter2@h/d?sslmode=%f",
            "postgres://u:hunter2@h/d?sslmode=%ff",
            "postgres://u:hunter2@h/d?namespace=$user",
            "postgres://u:hunter2@h/d?namespace=%24user",
            "postgres://u:hunter2@h/d?namespace=pg_temp",
        ] {
            let error = parse(url).unwrap_err().to_string();
            assert!(error.starts_with("invalid value at /url: "), "{url}: {error}");
            assert!(error.contains("write "), "{url}: {error}");
            assert!(!error.contains("hunter2") && !error.contains("ter2@h"), "{url}: {error}");
        }
    }
}
