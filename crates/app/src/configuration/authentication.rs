//! The authentication's part of the configuration: which module finds out who asks, and what it needs for it.

use std::net::IpAddr;
use std::path::PathBuf;

use http::HeaderName;
use ipnet::IpNet;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::document::{Authentication, Value};
use super::file;
use super::reader::Reader;

const MODULE: &str = "persistence.authentication.module";
const API_KEY: &str = "persistence.authentication.api_key";
const API_KEY_FILE: &str = "persistence.authentication.api_key_file";
const JWK_URL: &str = "persistence.authentication.jwk_url";
const JWK_FILE: &str = "persistence.authentication.jwk_file";
const TRUSTED_PROXIES: &str = "persistence.authentication.trusted_proxies";

/// How the service finds out who asks.
#[derive(Debug, Clone)]
pub struct AuthenticationConfig {
    /// The module that finds it out.
    pub module: AuthenticationModule,
    /// Whether a module that checks nothing may be used where other machines reach the service.
    pub allow_noop_beyond_loopback: bool,
}

/// A module, with LCS's name for it, and what it needs.
#[derive(Debug, Clone)]
pub enum AuthenticationModule {
    /// `noop`: the caller says who he is, and is believed.
    Noop,
    /// `noop-with-token`: the same, with a token that nobody looks at.
    NoopWithToken,
    /// `api-key-token`: who has the key is the one user.
    ApiKeyToken {
        /// The key.
        api_key: SecretString,
    },
    /// `jwk-token`: a signed token says who asks.
    JwkToken(JwkTokenConfig),
    /// `trusted-proxy`: a proxy says who asks.
    TrustedProxy(TrustedProxyConfig),
}

/// Whose tokens are believed, and what is read from them.
#[derive(Debug, Clone)]
pub struct JwkTokenConfig {
    /// Where the keys are.
    pub source: JwkSource,
    /// Who has to have made the token; `None` is whoever has a key.
    pub issuer: Option<String>,
    /// For whom the token has to be made; `None` is for whomever.
    pub audience: Option<String>,
    /// The claim that is the user.
    pub user_id_claim: String,
    /// The claim that is the user's name.
    pub username_claim: String,
}

/// Where the keys are, as a JWK set.
#[derive(Debug, Clone)]
pub enum JwkSource {
    /// Behind a URL.
    Url(Url),
    /// In a file.
    File(PathBuf),
}

/// Which proxies are believed, and where they say who asks.
#[derive(Debug, Clone)]
pub struct TrustedProxyConfig {
    /// The addresses of the proxies.
    pub trusted_proxies: Vec<IpNet>,
    /// The header that is the user.
    pub user_header: HeaderName,
    /// The header that is the user's name; without one it is the user.
    pub username_header: Option<HeaderName>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Noop,
    NoopWithToken,
    ApiKeyToken,
    JwkToken,
    TrustedProxy,
    NotYet,
}

/// Reads the section.
pub(super) fn read(reader: &mut Reader<'_>, section: &Authentication) -> AuthenticationConfig {
    let words = [
        ("noop", Kind::Noop),
        ("noop-with-token", Kind::NoopWithToken),
        ("api-key-token", Kind::ApiKeyToken),
        ("jwk-token", Kind::JwkToken),
        ("trusted-proxy", Kind::TrustedProxy),
        ("k8s", Kind::NotYet),
        ("rh-identity", Kind::NotYet),
    ];
    let expected = "noop, noop-with-token, api-key-token, jwk-token or trusted-proxy";
    let kind = reader.word(MODULE, &section.module, &words, expected, Kind::Noop);
    check_unused(reader, section, kind);
    let module = match kind {
        Kind::Noop => AuthenticationModule::Noop,
        Kind::NoopWithToken => AuthenticationModule::NoopWithToken,
        Kind::ApiKeyToken => AuthenticationModule::ApiKeyToken { api_key: api_key(reader, section) },
        Kind::JwkToken => AuthenticationModule::JwkToken(jwk_token(reader, section)),
        Kind::TrustedProxy => AuthenticationModule::TrustedProxy(trusted_proxy(reader, section)),
        Kind::NotYet => {
            reader.problem(
                MODULE,
                "k8s and rh-identity are not in this service yet: put a proxy that checks them before it, \
                 and write trusted-proxy",
            );
            AuthenticationModule::Noop
        }
    };
    let allow_noop_beyond_loopback = reader.flag(
        "persistence.authentication.allow_noop_beyond_loopback",
        &section.allow_noop_beyond_loopback,
        false,
    );
    AuthenticationConfig { module, allow_noop_beyond_loopback }
}

/// A key of another module is a problem: who writes `jwk_url` and forgets the module would be let in unchecked.
fn check_unused(reader: &mut Reader<'_>, section: &Authentication, kind: Kind) {
    let keys = [
        ("api_key", &section.api_key, Kind::ApiKeyToken, "api-key-token"),
        ("api_key_file", &section.api_key_file, Kind::ApiKeyToken, "api-key-token"),
        ("jwk_url", &section.jwk_url, Kind::JwkToken, "jwk-token"),
        ("jwk_file", &section.jwk_file, Kind::JwkToken, "jwk-token"),
        ("issuer", &section.issuer, Kind::JwkToken, "jwk-token"),
        ("audience", &section.audience, Kind::JwkToken, "jwk-token"),
        ("user_id_claim", &section.user_id_claim, Kind::JwkToken, "jwk-token"),
        ("username_claim", &section.username_claim, Kind::JwkToken, "jwk-token"),
        ("user_header", &section.user_header, Kind::TrustedProxy, "trusted-proxy"),
        ("username_header", &section.username_header, Kind::TrustedProxy, "trusted-proxy"),
        ("trusted_proxies", &section.trusted_proxies, Kind::TrustedProxy, "trusted-proxy"),
    ];
    for (name, value, user, module) in keys {
        if user != kind && kind != Kind::NotYet && value.as_deref().is_some_and(|value| !value.is_empty()) {
            let message = format!("only {module} uses it: write module: {module}, or remove it");
            reader.problem(&format!("persistence.authentication.{name}"), message);
        }
    }
}

fn api_key(reader: &mut Reader<'_>, section: &Authentication) -> SecretString {
    let key = file::secret(
        reader,
        "persistence.authentication",
        "api_key",
        &section.api_key,
        &section.api_key_file,
    );
    match &key {
        Some(key) if !key.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) => {
            let message = "no client can send it: write letters, digits and signs of ASCII, without spaces";
            reader.problem(API_KEY, message);
        }
        None if !reader.has_problem(API_KEY) && !reader.has_problem(API_KEY_FILE) => {
            reader.problem(API_KEY, "api-key-token needs a key: write api_key or api_key_file");
        }
        _ => {}
    }
    key.unwrap_or_default()
}

fn jwk_token(reader: &mut Reader<'_>, section: &Authentication) -> JwkTokenConfig {
    let mut text = |name: &str, value| reader.text(&format!("persistence.authentication.{name}"), value);
    let issuer = text("issuer", &section.issuer);
    let audience = text("audience", &section.audience);
    let user_id_claim = text("user_id_claim", &section.user_id_claim);
    let username_claim = text("username_claim", &section.username_claim);
    JwkTokenConfig {
        source: jwk_source(reader, section),
        issuer,
        audience,
        user_id_claim: user_id_claim.unwrap_or_else(|| "user_id".into()),
        username_claim: username_claim.unwrap_or_else(|| "username".into()),
    }
}

fn jwk_source(reader: &mut Reader<'_>, section: &Authentication) -> JwkSource {
    let url = reader.text(JWK_URL, &section.jwk_url);
    let file = reader.path(JWK_FILE, &section.jwk_file);
    match (url, file) {
        (Some(_), Some(_)) => reader.problem(JWK_FILE, "jwk_url is set too: keep one of them"),
        (None, Some(file)) => return JwkSource::File(file),
        (Some(url), None) => match jwk_url(&url) {
            Ok(url) => return JwkSource::Url(url),
            Err(message) => reader.problem(JWK_URL, message),
        },
        (None, None) if !reader.has_problem(JWK_URL) && !reader.has_problem(JWK_FILE) => {
            reader.problem(JWK_URL, "jwk-token needs the keys: write jwk_url or jwk_file");
        }
        (None, None) => {}
    }
    JwkSource::File(PathBuf::new())
}

fn jwk_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text.trim())
        .ok()
        .filter(|url| matches!(url.scheme(), "https" | "http"))
        .ok_or("it is no URL: write it like https://issuer.example/jwks.json")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it holds credentials, and keys are public: write it without them");
    }
    Ok(url)
}

fn trusted_proxy(reader: &mut Reader<'_>, section: &Authentication) -> TrustedProxyConfig {
    let user_header = header(reader, "user_header", &section.user_header);
    let username_header = header(reader, "username_header", &section.username_header);
    TrustedProxyConfig {
        trusted_proxies: trusted_proxies(reader, section),
        user_header: user_header.unwrap_or(HeaderName::from_static("x-user")),
        username_header,
    }
}

fn header(reader: &mut Reader<'_>, name: &str, value: &Value) -> Option<HeaderName> {
    let key = format!("persistence.authentication.{name}");
    let header = reader.text(&key, value)?.trim().parse();
    if header.is_err() {
        reader.problem(&key, "it is no header's name: write one like X-User");
    }
    header.ok()
}

fn trusted_proxies(reader: &mut Reader<'_>, section: &Authentication) -> Vec<IpNet> {
    const WRITE: &str = "write addresses or networks with commas between them, like 10.0.0.7, 10.1.0.0/16";
    let text = reader.text(TRUSTED_PROXIES, &section.trusted_proxies).unwrap_or_default();
    let mut networks = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let network = part.parse().or_else(|_| part.parse::<IpAddr>().map(IpNet::from));
        match network {
            Ok(network) if network.prefix_len() > 0 => networks.push(network),
            Ok(_) => {
                reader.problem(TRUSTED_PROXIES, format!("that is everyone, who could be any user: {WRITE}"));
            }
            Err(_) => reader.problem(TRUSTED_PROXIES, format!("one of them is no address: {WRITE}")),
        }
    }
    if networks.is_empty() && !reader.has_problem(TRUSTED_PROXIES) {
        reader.problem(TRUSTED_PROXIES, format!("trusted-proxy needs to know the proxies: {WRITE}"));
    }
    networks
}
