//! What stands between this program and the server.

use std::fmt;
use std::str::FromStr;

/// A pooler such as PgBouncer, by what it shares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Pooler {
    /// There is none: the settings go with the startup packet.
    #[default]
    None,
    /// A server's connection belongs to one client's as long as that lives: the settings are made on it.
    Session,
    /// A server's connection belongs to a client for one transaction: the settings are those of the role, and
    /// the pooler has to keep named statements apart, as PgBouncer does from 1.21 on.
    Transaction,
}

impl Pooler {
    /// Its name in a configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Session => "session",
            Self::Transaction => "transaction",
        }
    }
}

impl fmt::Display for Pooler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Pooler {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::None, Self::Session, Self::Transaction]
            .into_iter()
            .find(|pooler| pooler.as_str() == text)
            .ok_or("not known here: write none, session or transaction")
    }
}
