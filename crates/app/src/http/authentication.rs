//! Who is asking.

mod api_key;
pub(crate) mod bearer;
mod jwk_token;
mod noop;
mod trusted_proxy;
mod user;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::request::Parts;
use lcs_domain::UserId;
use secrecy::SecretString;

use self::api_key::ApiKey;
use self::jwk_token::JwkToken;
use self::noop::Noop;
use self::trusted_proxy::TrustedProxy;
use self::user::DEFAULT_USER;
use super::error::ApiError;
use crate::configuration::{AuthenticationConfig, AuthenticationModule};

/// Who asks, as an authentication module has found out.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Whose conversations may be seen.
    pub user_id: UserId,
    /// The user as the caller wrote it, from which `user_id` is made.
    pub user: String,
    /// The user's name, for people.
    pub username: String,
    /// What LCS says of the module; it skips nothing here: a user sees what is his (P9).
    pub skip_userid_check: bool,
    /// The token that came with the request, for asking others on the user's behalf.
    pub token: Option<SecretString>,
}

impl Identity {
    /// Whether another system may be asked on this user's behalf: with his own token, or, where nobody is
    /// told apart from anybody, with the service's key. A user without a token of his own would be shown
    /// and could delete what is others' there (P9).
    #[must_use]
    pub fn may_ask_others(&self) -> bool {
        self.token.is_some() || self.user == DEFAULT_USER
    }
}

/// Finds out who asks.
#[async_trait]
pub trait Authenticator: fmt::Debug + Send + Sync {
    /// Who sent the request of this head.
    ///
    /// # Errors
    /// 401 where that is not shown, 400 or 403 where it cannot be taken.
    async fn authenticate(&self, request: &Parts) -> Result<Identity, ApiError>;
}

/// The module that is configured.
///
/// # Errors
/// A sentence that says what to do, where the keys that tokens are checked with cannot be read.
pub fn authenticator(config: &AuthenticationConfig) -> Result<Arc<dyn Authenticator>, String> {
    Ok(match &config.module {
        AuthenticationModule::Noop => Arc::new(Noop { needs_token: false }),
        AuthenticationModule::NoopWithToken => Arc::new(Noop { needs_token: true }),
        AuthenticationModule::ApiKeyToken { api_key } => Arc::new(ApiKey::new(api_key)),
        AuthenticationModule::JwkToken(config) => Arc::new(JwkToken::new(config)?),
        AuthenticationModule::TrustedProxy(config) => Arc::new(TrustedProxy(config.clone())),
    })
}
