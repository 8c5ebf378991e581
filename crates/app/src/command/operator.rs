//! Who runs a command, as the audit log names them.

use std::env;

use lcs_domain::Actor;

/// The account on this machine; of `sudo`, the one that asked for it.
pub(super) fn operator() -> Actor {
    let account = ["SUDO_USER", "LOGNAME", "USER"].into_iter().find_map(|name| env::var(name).ok());
    Actor::operator(account.as_deref().unwrap_or("unknown"))
}
