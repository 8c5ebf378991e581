//! Who runs a command, as the audit log names them.

use std::env;

use lcs_domain::Actor;

/// How long a name from the environment is kept, in characters.
const MAX_CHARS: usize = 64;

/// The account that the command runs as. Beside it, of `sudo`, the one that asked for it: anybody can write another
/// name there, so that it never stands alone.
pub(super) fn operator() -> Actor {
    let account = whoami::username().unwrap_or_else(|_| "unknown".to_owned());
    Actor::operator(&named(account, env::var("SUDO_USER").ok().as_deref()))
}

fn named(account: String, sudo: Option<&str>) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-@".contains(c) { c } else { '?' };
    // The console's names begin so: `operator:key (NAME)`.
    let account =
        if account == "key" || account.starts_with("key ") { format!("account {account}") } else { account };
    let sudo: String = sudo.unwrap_or_default().chars().take(MAX_CHARS).map(plain).collect();
    if sudo.is_empty() { account } else { format!("{account} (sudo {sudo})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_comes_first_and_what_the_environment_says_beside_it() {
        assert_eq!(named("lcs".into(), None), "lcs");
        assert_eq!(named("lcs".into(), Some("")), "lcs");
        assert_eq!(named("root".into(), Some("alice")), "root (sudo alice)");
        assert_eq!(named("key".into(), None), "account key", "the console is nobody else");
        assert_eq!(named("key (ada)".into(), None), "account key (ada)");
        assert_eq!(named("key".into(), Some("ada")), "account key (sudo ada)");
        assert_eq!(named("keys".into(), None), "keys");
        assert_eq!(named("mallory".into(), Some("bob) \n(")), "mallory (sudo bob????)");
        assert_eq!(
            named("a".into(), Some(&"x".repeat(1_000))).chars().count(),
            "a (sudo )".len() + MAX_CHARS
        );
    }
}
