//! A store in one line: `postgres://user:password@host:5432/name`, `sqlite:PATH`, `memory:`.

use std::path::PathBuf;

use lcs_domain::RepositoryError;
use lcs_storage::postgres::PostgresConfig;

/// Where the conversations are, as a URL says it.
#[derive(Debug, Clone)]
pub enum DatabaseUrl {
    /// A PostgreSQL database.
    Postgresql(Box<PostgresqlUrl>),
    /// A SQLite file.
    Sqlite(PathBuf),
    /// This process's memory.
    Memory,
}

/// A PostgreSQL database as a URL says it, and which of its parameters the URL does not leave open.
#[derive(Debug, Clone)]
pub struct PostgresqlUrl {
    pub(super) config: PostgresConfig,
    pub(super) says_ssl_mode: bool,
    pub(super) says_namespace: bool,
    pub(super) says_pooler: bool,
}

const FORMS: &str = "write postgres://user:password@host:5432/name, sqlite:PATH or memory:";

impl DatabaseUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// A sentence that says what to write, and shows nothing of the URL: a password may stand anywhere in it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let url = url.trim();
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err(format!("this is no database URL: {FORMS}"));
        };
        match scheme {
            "postgres" | "postgresql" => Ok(Self::Postgresql(Box::new(PostgresqlUrl::parse(url)?))),
            "sqlite" => match rest.strip_prefix("//").unwrap_or(rest) {
                "" => Err("the file's path is missing: write sqlite:PATH".into()),
                ":memory:" => Err("write memory: for a store in memory".into()),
                path if path.starts_with('~') => {
                    Err("a path that begins with ~ is not expanded: write the whole path".into())
                }
                path if path.contains('?') => {
                    Err("a SQLite URL takes no parameters: write sqlite:PATH without the ?".into())
                }
                path => Ok(Self::Sqlite(PathBuf::from(path))),
            },
            "memory" if rest.trim_start_matches('/').is_empty() => Ok(Self::Memory),
            _ if scheme.starts_with("postgresql+") => {
                Err("the driver's name does not belong there: write postgresql:// instead".into())
            }
            _ => Err(format!("no store has a URL like this: {FORMS}")),
        }
    }
}

impl PostgresqlUrl {
    fn parse(url: &str) -> Result<Self, String> {
        let config = PostgresConfig::from_url(url).map_err(|error| match error {
            RepositoryError::Invalid { reason, .. } => reason,
            error => error.to_string(),
        })?;
        if config.port == 0 || config.other_servers.iter().any(|server| server.port == 0) {
            return Err("the port is not a number from 1 to 65535".into());
        }
        let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
        let says = |name: &str| parameters.split('&').any(|parameter| parameter.starts_with(name));
        Ok(Self {
            config,
            says_ssl_mode: says("sslmode="),
            says_namespace: says("namespace="),
            says_pooler: says("pooler="),
        })
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_postgresql_url_says_what_it_leaves_open() {
        let parsed = |url: &str| match DatabaseUrl::parse(url) {
            Ok(DatabaseUrl::Postgresql(url)) => *url,
            other => panic!("{url}: {other:?}"),
        };
        let url = parsed("postgres://alice:canary%40%2F%25%3A%23%3F@db.example:6432/lcs?sslmode=verify-full");
        assert_eq!((url.config.host.as_str(), url.config.port), ("db.example", 6432));
        assert_eq!(url.config.password.as_ref().unwrap().expose_secret(), "canary@/%:#?");
        assert!(url.says_ssl_mode && !url.says_namespace);
        let url = parsed("postgresql://alice@db.example/lcs?namespace=n");
        assert!(!url.says_ssl_mode && url.says_namespace);
    }

    #[test]
    fn the_other_stores_have_urls_too() {
        for (url, path) in
            [("sqlite:a/b.db", "a/b.db"), ("sqlite:/a.db", "/a.db"), ("sqlite:///a.db", "/a.db")]
        {
            let parsed = DatabaseUrl::parse(url);
            assert!(
                matches!(parsed, Ok(DatabaseUrl::Sqlite(parsed)) if parsed.to_str() == Some(path)),
                "{url}"
            );
        }
        for url in ["memory:", " memory: ", "memory://"] {
            assert!(matches!(DatabaseUrl::parse(url), Ok(DatabaseUrl::Memory)), "{url}");
        }
    }

    #[test]
    fn a_malformed_url_is_one_sentence_without_any_of_it() {
        for url in [
            "",
            "canary",
            "canary://canary",
            "mysql://a:canary@h/d",
            "postgresql+psycopg2://a:canary@h/d",
            "postgres:a:canary@h/d",
            "postgres://",
            "postgres://a:canary@h",
            "postgres://a:canary@h:0/d",
            "postgres://a:canary@h:70000/d",
            "postgres://a:canary@/%:#?@h/d",
            "postgres://u:a@canary@h/d",
            "postgres://u:a@canary/x@h/d",
            "postgres://a:canary@[::1/d",
            "postgres://a:p@h/d?canary=1",
            "postgres://a:p@h/d?sslmode=canary",
            "sqlite:",
            "sqlite::memory:",
            "memory:canary",
            "sqlite:~/canary.db",
            "sqlite:///canary.db?mode=ro",
        ] {
            let error = DatabaseUrl::parse(url).expect_err(url);
            assert!(!error.contains("canary") && !error.contains('\n') && !error.ends_with('.'), "{error}");
        }
    }
}
