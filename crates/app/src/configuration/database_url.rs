//! A store in one line: `postgres://user:password@host:5432/name`, `sqlite:PATH`, `memory:`.

use std::path::PathBuf;

use secrecy::SecretString;

/// Where the conversations are, as a URL says it.
#[derive(Debug, Clone)]
pub enum DatabaseUrl {
    /// A PostgreSQL database.
    Postgresql(PostgresqlUrl),
    /// A SQLite file.
    Sqlite(PathBuf),
    /// This process's memory.
    Memory,
}

/// The parts of a PostgreSQL URL, decoded.
#[derive(Debug, Clone)]
pub struct PostgresqlUrl {
    /// A name, an address, or the folder of a Unix socket.
    pub host: String,
    /// The port; `None`: 5432.
    pub port: Option<u16>,
    /// The database's name.
    pub name: String,
    /// The database user's name.
    pub username: String,
    /// That user's password.
    pub password: Option<SecretString>,
    /// The text of `sslmode`.
    pub ssl_mode: Option<String>,
    /// The path that `sslrootcert` gives.
    pub ca_cert_path: Option<PathBuf>,
}

const FORMS: &str = "write postgres://user:password@host:5432/name, sqlite:PATH or memory:";

impl DatabaseUrl {
    /// Reads a URL.
    ///
    /// In a PostgreSQL URL the user's name ends at the first `:` and the password at the last `@`; a `%` is
    /// written `%25`, and whatever else may be written as its percent code.
    ///
    /// # Errors
    /// A sentence that says what to write, and shows nothing of the URL: a password may stand anywhere in it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let url = url.trim();
        let Some((scheme, rest)) = url.split_once(':') else {
            return Err(format!("this is no database URL: {FORMS}"));
        };
        match scheme {
            "postgres" | "postgresql" => match rest.strip_prefix("//") {
                Some(rest) => Ok(Self::Postgresql(PostgresqlUrl::parse(rest)?)),
                None => Err(format!("two slashes are missing behind the colon: {FORMS}")),
            },
            "sqlite" => match rest.strip_prefix("//").unwrap_or(rest) {
                "" => Err("the file's path is missing: write sqlite:PATH".into()),
                ":memory:" => Err("write memory: for a store in memory".into()),
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
    fn parse(rest: &str) -> Result<Self, String> {
        let (user, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (username, password) = match user.split_once(':') {
            Some((username, password)) => (username, Some(decode(password)?)),
            None => (user, None),
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, name) = place.split_once('/').unwrap_or((place, ""));
        let (host, port) = host_and_port(authority)?;
        let mut url = Self {
            host,
            port,
            name: decode(name)?,
            username: decode(username)?,
            password: password.filter(|password| !password.is_empty()).map(SecretString::from),
            ssl_mode: None,
            ca_cert_path: None,
        };
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match key {
                "sslmode" => url.ssl_mode = Some(decode(value)?),
                "sslrootcert" => url.ca_cert_path = Some(PathBuf::from(decode(value)?)),
                "host" => url.host = decode(value)?,
                _ => {
                    return Err("a parameter behind the ? is not known: \
                                sslmode, sslrootcert and host are"
                        .into());
                }
            }
        }
        if url.username.is_empty() {
            return Err("the user's name is missing: write postgres://user@host:5432/name".into());
        }
        if url.name.is_empty() {
            return Err("the database's name is missing: write postgres://user@host:5432/name".into());
        }
        if url.host.is_empty() {
            url.host = "localhost".into();
        }
        Ok(url)
    }
}

/// `host`, `host:5432`, `[::1]:5432`, or nothing.
fn host_and_port(authority: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = if let Some(address) = authority.strip_prefix('[') {
        let (host, behind) = address.split_once(']').ok_or("the bracket of an IPv6 address is not closed")?;
        (host.to_owned(), behind.strip_prefix(':'))
    } else {
        match authority.split_once(':') {
            Some((host, port)) => (decode(host)?, Some(port)),
            None => (decode(authority)?, None),
        }
    };
    let port = port.filter(|port| !port.is_empty()).map(|port| match port.parse() {
        Ok(0) | Err(_) => Err("the port is not a number from 1 to 65535"),
        Ok(port) => Ok(port),
    });
    Ok((host, port.transpose()?))
}

/// `text` with each `%40` the byte that it is the code of.
fn decode(text: &str) -> Result<String, String> {
    const MALFORMED: &str =
        "a % in it is not followed by two hexadecimal digits: write %25 for the sign itself";
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2).ok_or(MALFORMED)?;
        let hexadecimal = code.bytes().all(|byte| byte.is_ascii_hexdigit());
        let byte = u8::from_str_radix(code, 16).ok().filter(|_| hexadecimal).ok_or(MALFORMED)?;
        bytes.push(byte);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| "the percent codes in it make no UTF-8 text".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn postgresql(url: &str) -> PostgresqlUrl {
        match DatabaseUrl::parse(url) {
            Ok(DatabaseUrl::Postgresql(url)) => url,
            other => panic!("{url}: {other:?}"),
        }
    }

    #[test]
    fn a_whole_url_has_all_its_parts() {
        let url = postgresql(
            "postgres://al%69ce:s3cret@db.example:6432/lcs?sslmode=verify-full&sslrootcert=/ca.pem",
        );
        assert_eq!((url.host.as_str(), url.port), ("db.example", Some(6432)));
        assert_eq!((url.name.as_str(), url.username.as_str()), ("lcs", "alice"));
        assert_eq!(url.password.unwrap().expose_secret(), "s3cret");
        assert_eq!(url.ssl_mode.as_deref(), Some("verify-full"));
        assert_eq!(url.ca_cert_path, Some(PathBuf::from("/ca.pem")));
    }

    #[test]
    fn a_short_url_has_defaults() {
        let url = postgresql("postgresql://alice@/lcs");
        assert_eq!((url.host.as_str(), url.port), ("localhost", None));
        assert!(url.password.is_none() && url.ssl_mode.is_none());
        assert_eq!(postgresql("postgres://a@[::1]:1/d").host, "::1");
        assert_eq!(postgresql("postgres://a@%2Ftmp:1/d").host, "/tmp");
        assert_eq!(postgresql("postgres://a@/d?host=/tmp").host, "/tmp");
    }

    #[test]
    fn passwords_with_any_character_work() {
        for (written, password) in [
            ("canary%40%2F%25%3A%23%3F", "canary@/%:#?"),
            ("canary@/%25:#?", "canary@/%:#?"),
            ("p%C3%A4ss", "päss"),
            ("päss", "päss"),
        ] {
            let url = postgresql(&format!("postgres://alice:{written}@db:1/lcs?sslmode=require"));
            assert_eq!(url.password.unwrap().expose_secret(), password);
            assert_eq!((url.host.as_str(), url.name.as_str()), ("db", "lcs"));
        }
    }

    #[test]
    fn the_other_stores_have_urls_too() {
        for (url, path) in
            [("sqlite:a/b.db", "a/b.db"), ("sqlite:/a.db", "/a.db"), ("sqlite:///a.db", "/a.db")]
        {
            assert!(
                matches!(DatabaseUrl::parse(url), Ok(DatabaseUrl::Sqlite(p)) if p == PathBuf::from(path)),
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
            "postgres://:canary@h/d",
            "postgres://h/d",
            "postgres://a:canary@h:70000/d",
            "postgres://a:canary@h:0/d",
            "postgres://a:canary@[::1/d",
            "postgres://a:canary%@h/d",
            "postgres://a:canary%4@h/d",
            "postgres://a:canary%+4@h/d",
            "postgres://a:canary%ff@h/d",
            "postgres://a:p@h/d?canary=1",
            "sqlite:",
            "sqlite::memory:",
            "memory:canary",
        ] {
            let error = DatabaseUrl::parse(url).expect_err(url);
            assert!(!error.contains("canary") && !error.contains('\n') && !error.ends_with('.'), "{error}");
        }
    }

    #[test]
    fn debug_shows_no_password() {
        let shown = format!("{:?}", DatabaseUrl::parse("postgres://a:canary@h/d").unwrap());
        assert!(shown.contains("Postgresql") && !shown.contains("canary"), "{shown}");
    }
}
