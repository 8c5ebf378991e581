//! `api-key-token`: who has the key is the one user that there is.

use async_trait::async_trait;
use http::request::Parts;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::bearer::bearer_token;
use super::user::{DEFAULT_USER, DEFAULT_USERNAME, identity};
use super::{Authenticator, Identity};
use crate::http::error::ApiError;

/// Compares with the key, by hashes and in constant time: neither its length nor how much of it was
/// guessed shows in how long that takes.
pub(super) struct ApiKey {
    hash: [u8; 32],
}

impl ApiKey {
    pub(super) fn new(key: &SecretString) -> Self {
        Self { hash: hash(key) }
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKey").finish_non_exhaustive()
    }
}

#[async_trait]
impl Authenticator for ApiKey {
    async fn authenticate(&self, request: &Parts) -> Result<Identity, ApiError> {
        let token = bearer_token(&request.headers)?;
        if !bool::from(hash(&token).ct_eq(&self.hash)) {
            return Err(ApiError::unauthorized("Invalid API Key"));
        }
        // The key is ours and not the user's: it is not handed on to ask others with.
        Ok(identity(DEFAULT_USER, DEFAULT_USERNAME, true, None))
    }
}

fn hash(key: &SecretString) -> [u8; 32] {
    Sha256::digest(key.expose_secret()).into()
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http::header::AUTHORIZATION;

    use super::*;

    async fn ask(authorization: &str) -> Result<Identity, ApiError> {
        let (parts, ()) = Request::get("/?user_id=mallory")
            .header(AUTHORIZATION, authorization)
            .body(())
            .unwrap()
            .into_parts();
        ApiKey::new(&SecretString::from("canary-key")).authenticate(&parts).await
    }

    #[tokio::test]
    async fn the_key_is_the_one_user_whoever_he_says_he_is() {
        let identity = ask("Bearer canary-key").await.unwrap();
        assert_eq!(identity.user, "00000000-0000-0000-0000-000");
        assert!(identity.skip_userid_check && identity.token.is_none());
    }

    #[tokio::test]
    async fn any_other_key_is_refused_and_not_shown() {
        for authorization in ["Bearer canary-ke", "Bearer canary-key2", "Bearer CANARY-KEY", "Bearer x"] {
            assert_eq!(ask(authorization).await.unwrap_err(), ApiError::unauthorized("Invalid API Key"));
        }
        let shown = format!("{:?}", ApiKey::new(&SecretString::from("canary-key")));
        assert_eq!(shown, "ApiKey { .. }");
    }
}
