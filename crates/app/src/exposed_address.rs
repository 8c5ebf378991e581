//! Addresses of servers in the environment: none holds credentials, for libraries write addresses into logs and errors.

use std::ffi::OsString;

use reqwest::Url;

/// What stands in the name of a variable that holds the address of a server.
const ADDRESSES: [&str; 5] = ["ENDPOINT", "URL", "URI", "HOST", "METADATA_IP"];
/// What stands in the name of one that nothing here reads, and that may hold credentials.
const PROXY: &str = "PROXY";

/// What stands where the address of a server is asked for.
enum Address {
    /// One that HTTP can be spoken to.
    Http(Url),
    /// One without a scheme, as if it had one.
    Unschemed(Url),
    /// One that something else is spoken to: a database, say.
    Other,
    /// None. Where a host would begin in it, nobody knows.
    Malformed,
}

impl Address {
    fn of(text: &str) -> Self {
        let text = text.trim();
        let is_schemed = text.contains("://");
        match Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Self::Http(url),
            Ok(_) if is_schemed => Self::Other,
            Err(_) if is_schemed => Self::Malformed,
            _ => Url::parse(&format!("http://{text}")).map_or(Self::Malformed, Self::Unschemed),
        }
    }
}

/// The first of these variables that begins with one of `prefixes` and holds an address with credentials in it.
pub(crate) fn exposed(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    prefixes: &[&str],
) -> Option<String> {
    let is_asked = |name: &str| {
        prefixes.iter().any(|prefix| name.starts_with(prefix))
            && ADDRESSES.iter().any(|part| name.contains(part))
            && !name.contains(PROXY)
    };
    let has_credentials = |value: &OsString| {
        value.to_str().is_some_and(|text| match Address::of(text) {
            Address::Http(url) | Address::Unschemed(url) => {
                !url.username().is_empty() || url.password().is_some()
            }
            Address::Other => false,
            Address::Malformed => text.contains('@'),
        })
    };
    first(variables, is_asked, has_credentials)
}

/// The first of the variables of these names that holds something, and no address of a server: a library may panic at it.
pub(crate) fn misaddressed(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    names: &[&str],
) -> Option<String> {
    let is_wrong = |value: &OsString| {
        let is_right = value.to_str().is_some_and(|text| matches!(Address::of(text), Address::Http(_)));
        !value.is_empty() && !is_right
    };
    first(variables, |name| names.contains(&name), is_wrong)
}

/// The name of the first variable that is asked for and wrong. The case of names does not count.
fn first(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    is_asked: impl Fn(&str) -> bool,
    is_wrong: impl Fn(&OsString) -> bool,
) -> Option<String> {
    let named = variables.into_iter().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let mut asked = named.filter(|(name, _)| is_asked(&name.to_ascii_uppercase()));
    asked.find(|(_, value)| is_wrong(value)).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canary_an_address_with_credentials_is_found_and_not_quoted() {
        let exposed =
            |name: &str, value: &str| exposed([(name.into(), value.into())], &["AWS_", "GCE_METADATA_"]);
        for (name, value) in [
            ("AWS_ENDPOINT", "http://user:canary@127.0.0.1:9000"),
            ("AWS_ENDPOINT_URL", " https://canary@s3.example/path "),
            ("AWS_Endpoint_Url", "http://:canary@h"),
            ("GCE_METADATA_HOST", "user:canary@metadata"),
            ("GCE_METADATA_IP", "user:canary@127.0.0.1"),
            ("AWS_ENDPOINT", "http:/user:canary@127.0.0.1:9000"),
            ("AWS_ENDPOINT", "http:\\\\user:canary@127.0.0.1:9000"),
            ("AWS_ENDPOINT", "http://user:canary@ho st:9000"),
            ("AWS_ENDPOINT", "http://user:canary@[::1"),
            ("AWS_ENDPOINT", "http://user:can#ary@host"),
            ("AWS_ENDPOINT", "http://user:can/ary@host"),
            ("AWS_ENDPOINT", "http://user:canary@host:port"),
        ] {
            assert_eq!(exposed(name, value).as_deref(), Some(name));
        }
        for (name, value) in [
            ("AWS_ENDPOINT", "http://127.0.0.1:9000/a@b"),
            ("AWS_ENDPOINT", ""),
            ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1"),
            ("AWS_SECRET_ACCESS_KEY", "http://user:key@host"),
            ("AWS_PROXY_URL", "http://user:key@proxy"),
            ("AWS_DATABASE_URL", "postgres://user:key@host/database"),
            ("AWS_ENDPOINT", "minio:9000"),
            ("GOOGLE_BASE_URL", "http://user:key@of-another-service"),
        ] {
            assert_eq!(exposed(name, value), None, "{name}");
        }
    }

    #[test]
    fn what_is_no_address_of_a_server_is_found() {
        let wrong = |value: &str| misaddressed([("AWS_Endpoint".into(), value.into())], &["AWS_ENDPOINT"]);
        for value in ["minio:9000", "127.0.0.1:9000", "http://host:port", "http://", "ftp://host", " "] {
            assert_eq!(wrong(value).as_deref(), Some("AWS_Endpoint"), "{value}");
        }
        for value in ["", "http://minio:9000", " https://s3.example/path "] {
            assert_eq!(wrong(value), None, "{value}");
        }
    }
}
