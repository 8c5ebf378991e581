//! Who runs a command, as the audit log names them.

use std::env;

use lcs_domain::Actor;

/// The account on this machine; of `sudo`, the one that asked for it.
pub(super) fn operator() -> Actor {
    let account = env::var("SUDO_USER").ok().or_else(|| whoami::username().ok());
    Actor::operator(account.as_deref().unwrap_or("unknown"))
}
