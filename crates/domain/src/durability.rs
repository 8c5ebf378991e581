//! How durable an answer is: said in every answer, because a caller cannot see it any other way (P8).

use std::fmt;

use serde::{Deserialize, Serialize};

/// What happens to what an answer speaks of when this process ends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Committed by the database, and replicated where synchronous replication is set up.
    Durable,
    /// In a local, synced journal; it reaches the database when the database is back.
    Journaled,
    /// In this process's memory only: lost when it ends.
    Volatile,
}

impl Durability {
    /// The word for this durability in answers, headers and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Durable => "durable",
            Self::Journaled => "journaled",
            Self::Volatile => "volatile",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
