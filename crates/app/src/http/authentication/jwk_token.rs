//! `jwk-token`: a signed token says who asks. What is signed counts, and only with the key's own algorithm.

mod key_set;
mod key_store;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use http::StatusCode;
use http::request::Parts;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Header, Validation, decode, decode_header};
use lcs_domain::UserId;
use secrecy::ExposeSecret;
use serde_json::Value;

use self::key_set::{Found, Key};
use self::key_store::{KeyStore, State};
use super::bearer::bearer_token;
use super::user::identity;
use super::{Authenticator, Identity};
use crate::configuration::JwkTokenConfig;
use crate::http::error::ApiError;

/// How large a token may be, in bytes.
const MAX_BYTES: usize = 16_384;
/// How far the clocks of who makes tokens and ours may be apart, in seconds.
const LEEWAY_SECONDS: u64 = 30;

const UNDECODABLE: &str = "Token could not be decoded";

type Claims = HashMap<String, Value>;

/// Believes the tokens of whoever has the keys that are configured.
#[derive(Debug)]
pub(super) struct JwkToken {
    config: JwkTokenConfig,
    keys: KeyStore,
}

impl JwkToken {
    /// # Errors
    /// A sentence that says what to do where the keys cannot be had.
    pub(super) fn new(config: &JwkTokenConfig) -> Result<Self, String> {
        Ok(Self { config: config.clone(), keys: KeyStore::new(&config.source)? })
    }

    /// What a token claims, once it is shown that it may.
    async fn claims(&self, token: &str) -> Result<Claims, ApiError> {
        if token.len() > MAX_BYTES {
            return Err(ApiError::unauthorized(format!("Token is longer than {MAX_BYTES} bytes")));
        }
        let header = decode_header(token).map_err(|_| ApiError::unauthorized(UNDECODABLE))?;
        if header.crit.is_some() {
            return Err(ApiError::unauthorized("Token has critical header parameters that are not known"));
        }
        let known = self.look(&self.keys.current().await, token, &header);
        if let Some(claims) = known {
            return claims;
        }
        // The key may be newer than what is known.
        let state = self.keys.renewed().await;
        self.look(&state, token, &header).unwrap_or_else(|| {
            Err(if state.failed {
                ApiError::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "Unable to check credentials",
                    "The keys that tokens are checked with cannot be read at the moment",
                )
            } else {
                ApiError::unauthorized("Token signed by unknown key")
            })
        })
    }

    /// What the token claims, by the key that it names; `None` where that is not among those known.
    fn look(&self, state: &State, token: &str, header: &Header) -> Option<Result<Claims, ApiError>> {
        match state.keys.as_ref()?.find(header.kid.as_deref(), header.alg) {
            Found::Key(key) => Some(self.verified(token, header, key)),
            Found::Several => {
                Some(Err(ApiError::unauthorized("Token does not say which of several keys signed it")))
            }
            Found::Nothing => None,
        }
    }

    fn verified(&self, token: &str, header: &Header, key: &Key) -> Result<Claims, ApiError> {
        if !key.algorithms.contains(&header.alg) {
            return Err(ApiError::unauthorized("Token has another algorithm than its key"));
        }
        let mut validation = Validation::new(header.alg);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.validate_aud = self.config.audience.is_some();
        validation.aud = self.config.audience.clone().map(|audience| HashSet::from([audience]));
        validation.iss = self.config.issuer.clone().map(|issuer| HashSet::from([issuer]));
        for (claim, expected) in [("aud", &self.config.audience), ("iss", &self.config.issuer)] {
            // A claim that is missing is not checked otherwise.
            if expected.is_some() {
                validation.required_spec_claims.insert(claim.into());
            }
        }
        decode(token, &key.decoding, &validation).map(|token| token.claims).map_err(|error| refusal(&error))
    }
}

#[async_trait]
impl Authenticator for JwkToken {
    async fn authenticate(&self, request: &Parts) -> Result<Identity, ApiError> {
        let token = bearer_token(&request.headers)?;
        let claims = self.claims(token.expose_secret()).await?;
        let JwkTokenConfig { user_id_claim, username_claim, .. } = &self.config;
        let user = text(&claims, user_id_claim)?
            .ok_or_else(|| ApiError::unauthorized(format!("Token missing claim: {user_id_claim}")))?;
        let username = text(&claims, username_claim)?.unwrap_or_else(|| user.clone());
        Ok(identity(user, username, false, Some(token)))
    }
}

/// The claim as a text; a whole number is one, too.
fn text(claims: &Claims, name: &str) -> Result<Option<String>, ApiError> {
    let text = match claims.get(name) {
        None => return Ok(None),
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) if !number.is_f64() => Some(number.to_string()),
        Some(_) => None,
    };
    text.filter(|text| UserId::is_name(text))
        .map(Some)
        .ok_or_else(|| ApiError::unauthorized(format!("Token has invalid claim: {name}")))
}

/// Why a token is refused, in LCS's words where it has some, and never with the token.
fn refusal(error: &Error) -> ApiError {
    ApiError::unauthorized(match error.kind() {
        ErrorKind::ExpiredSignature => "Token has expired".into(),
        ErrorKind::ImmatureSignature => "Token is not valid yet".into(),
        ErrorKind::InvalidSignature => "Invalid token signature".into(),
        ErrorKind::InvalidIssuer => "Token has another issuer".into(),
        ErrorKind::InvalidAudience => "Token is for another audience".into(),
        ErrorKind::MissingRequiredClaim(claim) => format!("Token missing claim: {claim}"),
        ErrorKind::InvalidClaimFormat(claim) => format!("Token has invalid claim: {claim}"),
        ErrorKind::Base64(_) | ErrorKind::Json(_) | ErrorKind::Utf8(_) | ErrorKind::InvalidToken => {
            UNDECODABLE.into()
        }
        _ => "Token validation failed".into(),
    })
}
