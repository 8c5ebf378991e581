//! A server that we call over HTTP: where it is, how it knows us, and how long we wait for it.
//!
//! One client for each server, with a pool of connections of its own. It follows no redirect, so that a key
//! goes nowhere but where it was written for, and takes no proxy from the environment. Nothing that a server
//! answers gets into an error: it may hold what was said.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lcs_domain::agent::{AgentError, AgentFailure};
use reqwest::{Client, Method, RequestBuilder, Response, Url, redirect};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

/// Where a server is, and how it is to be called.
pub(crate) struct EndpointConfig<'a> {
    /// What errors call it.
    pub(crate) name: &'static str,
    pub(crate) base_url: &'a str,
    pub(crate) api_key: Option<&'a SecretString>,
    pub(crate) ca_cert_path: Option<&'a PathBuf>,
    pub(crate) connect_timeout: Duration,
    /// How long to wait for an answer to begin, and for each next piece of it.
    pub(crate) idle_timeout: Duration,
}

/// A server that we call.
pub(crate) struct Endpoint {
    name: &'static str,
    base_url: Url,
    api_key: Option<SecretString>,
    idle_timeout: Duration,
    client: Client,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// # Errors
    /// Where the address is none, or the certificates cannot be read.
    pub(crate) fn new(config: &EndpointConfig<'_>) -> Result<Self, AgentError> {
        let base_url = base_url(config.base_url)
            .map_err(|reason| AgentError::new(format!("the address of {}: {reason}", config.name)))?;
        let mut builder = Client::builder()
            .connect_timeout(config.connect_timeout)
            .redirect(redirect::Policy::none())
            .no_proxy();
        if base_url.scheme() == "https" {
            builder = builder.tls_backend_preconfigured(tls(config.ca_cert_path.map(PathBuf::as_path))?);
        } else {
            // No provider of TLS stands ready by itself, and none is needed.
            builder = builder.tls_backend_preconfigured(trusting(RootCertStore::empty())?);
        }
        let client = builder.build().map_err(|error| AgentError {
            source: Some(error.into()),
            ..AgentError::new(format!("the client for {} cannot be made", config.name))
        })?;
        Ok(Self {
            name: config.name,
            base_url,
            api_key: config.api_key.cloned(),
            idle_timeout: config.idle_timeout,
            client,
        })
    }

    /// A request to the path of these segments with this query, and with `authorization` as its bearer token in place of our key.
    pub(crate) fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        authorization: Option<&SecretString>,
    ) -> RequestBuilder {
        let mut url = self.base_url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.client.request(method, url);
        match authorization.or(self.api_key.as_ref()) {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }

    /// Sends the request and waits until the answer begins.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, AgentError> {
        match timeout(self.idle_timeout, request.send()).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_builder() => {
                Err(AgentError::new(format!("the request to {} holds what no request can", self.name)))
            }
            Ok(Err(error)) if error.is_connect() => Err(self.unreachable("cannot be reached", error)),
            Ok(Err(error)) => Err(self.unreachable("closed the connection before it answered", error)),
            Err(_) => Err(self.unavailable(&format!("did not answer within {:?}", self.idle_timeout))),
        }
    }

    /// The whole body, where it is no longer than `max_bytes`.
    pub(crate) async fn body(&self, mut response: Response, max_bytes: usize) -> Result<Vec<u8>, AgentError> {
        let mut body = Vec::new();
        loop {
            match timeout(self.idle_timeout, response.chunk()).await {
                Ok(Ok(None)) => return Ok(body),
                Ok(Ok(Some(chunk))) if body.len() + chunk.len() <= max_bytes => {
                    body.extend_from_slice(&chunk);
                }
                Ok(Ok(Some(_))) => {
                    let reason = format!("the answer of {} is larger than {max_bytes} bytes", self.name);
                    return Err(AgentError::new(reason));
                }
                Ok(Err(error)) => return Err(self.cut_off(error)),
                Err(_) => return Err(self.silent()),
            }
        }
    }

    /// The failure of a server that ends its answer before the answer's end.
    pub(crate) fn cut_off(&self, error: reqwest::Error) -> AgentError {
        self.unreachable("ended its answer in the middle", error)
    }

    /// The failure of a server that says nothing more.
    pub(crate) fn silent(&self) -> AgentError {
        self.unavailable(&format!("fell silent for {:?} in the middle of its answer", self.idle_timeout))
    }

    pub(crate) const fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }

    /// The failure of a server that is there in no useful way.
    pub(crate) fn unavailable(&self, how: &str) -> AgentError {
        AgentError::of(AgentFailure::Unavailable, format!("{} {how}", self.name))
    }

    fn unreachable(&self, how: &str, error: reqwest::Error) -> AgentError {
        AgentError { source: Some(error.without_url().into()), ..self.unavailable(how) }
    }
}

/// The address that `text` is: http or https, and nothing in it that is a secret or gets lost.
///
/// # Errors
/// What is wrong with it, without the text: a password may stand in it.
pub(crate) fn base_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text.trim()).map_err(|_| "it is no URL: write one like http://localhost:8321/v1")?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("it is no address of a web server: write one like http://localhost:8321/v1");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("there are credentials in it: write them as api_key or api_key_file");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("there is a ? or # in it: write the part before that");
    }
    Ok(url)
}

/// TLS that trusts the certificates of `ca_cert_path`, or the system's.
pub(crate) fn tls(ca_cert_path: Option<&Path>) -> Result<ClientConfig, AgentError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca_cert_path else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return trusting(roots);
    };
    let shown = path.display();
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|_| AgentError::new(format!("{shown} cannot be read as PEM certificates")))?;
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(AgentError::new(format!("{shown} holds no certificate authority")));
    }
    trusting(roots)
}

fn trusting(roots: RootCertStore) -> Result<ClientConfig, AgentError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let tls = tls.map_err(|error| AgentError {
        source: Some(error.into()),
        ..AgentError::new("TLS cannot be set up")
    })?;
    Ok(tls.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_holds_no_secret_and_loses_nothing() {
        for good in ["http://localhost:8321/v1", "https://api.example/v1/", " http://[::1]:80 "] {
            assert!(base_url(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "localhost:8321",
            "unix:/run/x",
            "http://",
            "/v1",
            "http://u:canary@h/v1",
            "http://h/?canary",
        ] {
            let error = base_url(bad).unwrap_err();
            assert!(error.contains("write") && !error.contains("canary"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_path_goes_behind_the_base_whether_it_ends_in_a_slash_or_not() {
        for base in ["http://h/v1", "http://h/v1/"] {
            let config = EndpointConfig { base_url: base, ..local() };
            let endpoint = Endpoint::new(&config).unwrap();
            let request = endpoint.request(
                Method::GET,
                &["conversations", "a/b?c", "items"],
                &[("after", "a&b")],
                None,
            );
            let url = request.build().unwrap().url().to_string();
            assert_eq!(url, "http://h/v1/conversations/a%2Fb%3Fc/items?after=a%26b");
        }
    }

    #[test]
    fn the_caller_s_token_stands_in_for_our_key() {
        let key = SecretString::from("ours");
        let endpoint = Endpoint::new(&EndpointConfig { api_key: Some(&key), ..local() }).unwrap();
        let sent = |token: Option<&SecretString>| {
            let request = endpoint.request(Method::GET, &[], &[], token).build().unwrap();
            let header = &request.headers()["authorization"];
            assert!(header.is_sensitive());
            header.to_str().unwrap().to_owned()
        };
        assert_eq!(sent(None), "Bearer ours");
        assert_eq!(sent(Some(&SecretString::from("theirs"))), "Bearer theirs");
        assert!(!format!("{endpoint:?}").contains("ours"));
    }

    #[test]
    fn a_file_without_certificates_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, "no certificate").unwrap();
        for (path, expected) in [(file, "holds no certificate"), ("/nowhere/ca.pem".into(), "cannot be read")]
        {
            let config = EndpointConfig { base_url: "https://h/v1", ca_cert_path: Some(&path), ..local() };
            let error = Endpoint::new(&config).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    fn local() -> EndpointConfig<'static> {
        EndpointConfig {
            name: "the server",
            base_url: "http://localhost/v1",
            api_key: None,
            ca_cert_path: None,
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(5),
        }
    }
}
