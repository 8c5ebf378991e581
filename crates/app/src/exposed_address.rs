//! Addresses of servers in the environment: none holds credentials, for libraries write addresses into logs and errors.

use std::ffi::OsString;

use reqwest::Url;

/// What stands in the name of a variable that holds the address of a server.
const ADDRESSES: [&str; 5] = ["ENDPOINT", "URL", "URI", "HOST", "METADATA_IP"];
/// What stands in the name of one that nothing here reads, and that may hold credentials.
const PROXY: &str = "PROXY";

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
    let of_text =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    let found = variables.into_iter().filter_map(of_text).find(|(name, value)| {
        // The case of names does not count, nor does a host need a scheme.
        is_asked(&name.to_ascii_uppercase()) && has_credentials(value)
    });
    found.map(|(name, _)| name)
}

fn has_credentials(address: &str) -> bool {
    let url = match address.trim() {
        whole if whole.contains("://") => Url::parse(whole),
        host => Url::parse(&format!("http://{host}")),
    };
    url.is_ok_and(|url| !url.username().is_empty() || url.password().is_some())
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
        ] {
            assert_eq!(exposed(name, value).as_deref(), Some(name));
        }
        for (name, value) in [
            ("AWS_ENDPOINT", "http://127.0.0.1:9000/a@b"),
            ("AWS_ENDPOINT", ""),
            ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1"),
            ("AWS_SECRET_ACCESS_KEY", "http://user:key@host"),
            ("AWS_PROXY_URL", "http://user:key@proxy"),
            ("GOOGLE_BASE_URL", "http://user:key@of-another-service"),
        ] {
            assert_eq!(exposed(name, value), None, "{name}");
        }
    }
}
