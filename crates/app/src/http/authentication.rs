//! Who is asking.

use std::fmt;

use async_trait::async_trait;
use http::request::Parts;
use lcs_domain::UserId;
use secrecy::SecretString;

use super::error::ApiError;

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

/// Finds out who asks.
#[async_trait]
pub trait Authenticator: fmt::Debug + Send + Sync {
    /// Who sent the request of this head.
    ///
    /// # Errors
    /// 401 where that is not shown, 400 or 403 where it cannot be taken.
    async fn authenticate(&self, request: &Parts) -> Result<Identity, ApiError>;
}
