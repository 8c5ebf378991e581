//! A user as a module found him, and whom LCS takes where nobody says.

use lcs_domain::UserId;
use secrecy::SecretString;

use super::Identity;

/// The user where nobody says who he is.
pub(super) const DEFAULT_USER: &str = "00000000-0000-0000-0000-000";
/// The user's name where nobody says it.
pub(super) const DEFAULT_USERNAME: &str = "lightspeed-user";

/// The identity of the user that `user` is.
pub(super) fn identity(
    user: impl Into<String>,
    username: impl Into<String>,
    skip_userid_check: bool,
    token: Option<SecretString>,
) -> Identity {
    let user = user.into();
    Identity { user_id: UserId::from_text(&user), user, username: username.into(), skip_userid_check, token }
}
