//! Who looks after the service: known by a key of his own, and never by a user's token.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::authentication::bearer::bearer_token;
use super::error::ApiError;
use super::service::Service;
use crate::configuration::OperatorConfig;

/// The keys that an operator is known by, as hashes.
pub(super) struct OperatorKeys {
    hashes: Vec<[u8; 32]>,
}

impl OperatorKeys {
    pub(super) fn new(config: &OperatorConfig) -> Self {
        Self { hashes: config.api_keys.iter().map(hash).collect() }
    }

    /// The hash of `key`, if it is one of them. How long that takes says nothing of the keys.
    fn known(&self, key: &SecretString) -> Option<[u8; 32]> {
        let hash = hash(key);
        let found = self.hashes.iter().fold(Choice::from(0), |found, known| found | known.ct_eq(&hash));
        bool::from(found).then_some(hash)
    }
}

fn hash(key: &SecretString) -> [u8; 32] {
    Sha256::digest(key.expose_secret()).into()
}

/// An operator asks: an endpoint that takes one answers nobody else.
pub(super) struct Operator {
    /// The name that stands beside the key, where a browser sent it: nobody has shown that it is his.
    pub(super) name: Option<String>,
    /// The hash of the key.
    pub(super) key: [u8; 32],
}

impl Operator {
    /// The operator whose key a request has.
    pub(super) fn of(headers: &HeaderMap, service: &Service) -> Result<Self, ApiError> {
        let (name, key) = credentials(headers)?;
        let key = service.operator_keys().and_then(|keys| keys.known(&key));
        let key = key.ok_or_else(|| ApiError::unauthorized("Invalid operator key"))?;
        Ok(Self { name, key })
    }
}

impl FromRequestParts<Service> for Operator {
    type Rejection = Stranger;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Stranger> {
        let known = Self::of(&parts.headers, service);
        known.inspect_err(|error| service.deny(error.status())).map_err(Stranger::from)
    }
}

/// The key: a bearer token, or the password that a browser asks its user for, beside a name.
fn credentials(headers: &HeaderMap) -> Result<(Option<String>, SecretString), ApiError> {
    let bearer = || Ok((None, bearer_token(headers)?));
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (first, None) = (values.next(), values.next()) else { return bearer() };
    let basic = first.and_then(|value| {
        let (scheme, credentials) = value.to_str().ok()?.trim().split_once(' ')?;
        scheme.eq_ignore_ascii_case("basic").then(|| credentials.trim().to_owned())
    });
    let Some(credentials) = basic else { return bearer() };
    let decoded = STANDARD.decode(credentials).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let parts = decoded.as_deref().and_then(|text| text.split_once(':'));
    parts
        .filter(|(_, password)| !password.is_empty())
        .map(|(name, password)| (Some(name.to_owned()), SecretString::from(password)))
        .ok_or_else(|| ApiError::unauthorized("No password found in Authorization header"))
}

/// Somebody who has not shown that he is an operator. A browser asks its user then.
pub(super) struct Stranger(ApiError);

impl From<ApiError> for Stranger {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Stranger {
    fn into_response(self) -> Response {
        const ASK: HeaderValue =
            HeaderValue::from_static("Basic realm=\"operator of lcs-persistence\", charset=\"UTF-8\"");
        let mut response = self.0.into_response();
        response.headers_mut().append(WWW_AUTHENTICATE, ASK);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(authorization: &[&str]) -> Result<String, ApiError> {
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        credentials(&headers).map(|(_, key)| key.expose_secret().to_owned())
    }

    #[test]
    fn the_key_is_a_bearer_token_or_a_password_and_one_only() {
        assert_eq!(asked(&["Bearer a-key"]), Ok("a-key".into()));
        for basic in ["Basic b3BlcmF0b3I6YS1rZXk=", "basic OmEta2V5"] {
            assert_eq!(asked(&[basic]), Ok("a-key".into()), "{basic}");
        }
        assert_eq!(asked(&["Basic eDphOmI="]), Ok("a:b".into()), "a password may hold a colon");
        for refused in [
            &["Basic"][..],
            &["Basic !!"],
            &["Basic eA=="],
            &["Basic eDo="],
            &["Digest x"],
            &[],
            &["Basic eDph", "Bearer a"],
        ] {
            assert!(asked(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn each_key_is_known_and_no_other() {
        let config =
            OperatorConfig { api_keys: ["the-old-key", "the-new-key"].map(SecretString::from).to_vec() };
        let keys = OperatorKeys::new(&config);
        for (key, is_known) in
            [("the-old-key", true), ("the-new-key", true), ("the-new-ke", false), ("", false)]
        {
            assert_eq!(keys.known(&SecretString::from(key)).is_some(), is_known, "{key}");
        }
        assert!(OperatorKeys { hashes: vec![] }.known(&SecretString::from("")).is_none());
    }
}
