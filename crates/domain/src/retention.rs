//! How long an idle conversation is kept, and what a cleaning run did.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::{AgentId, ConversationId, RepositoryError, UserId};

/// How long after the end of its lease a request without an answer is kept for a retry.
pub const ABANDONED_AFTER: Duration = Duration::from_hours(24);

/// When a conversation may be purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPolicy {
    idle: Duration,
}

impl RetentionPolicy {
    /// Purge what has been idle longer than `idle`, by the store's own clock; and what its user deleted.
    ///
    /// At most a thousand years: more is refused, so that a cut-off is a time that every store can hold.
    pub fn idle_longer_than(idle: Duration) -> Result<Self, RepositoryError> {
        const MAX: Duration = Duration::from_hours(1000 * 366 * 24);
        if idle > MAX {
            return Err(RepositoryError::invalid("/idle", "longer than a thousand years: write fewer days"));
        }
        Ok(Self { idle })
    }

    /// How long a conversation may be idle.
    #[must_use]
    pub const fn idle(&self) -> Duration {
        self.idle
    }
}

/// Why a conversation's rows were removed: what its tombstone says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PurgeReason {
    /// It had been idle longer than the policy allows.
    Expired,
    /// Its user had deleted it.
    Deleted,
    /// Its user had everything erased.
    Erased,
}

impl PurgeReason {
    /// The word for this reason in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Deleted => "deleted",
            Self::Erased => "erased",
        }
    }
}

impl fmt::Display for PurgeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A conversation whose rows were removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PurgedConversation {
    /// Its id.
    pub conversation_id: ConversationId,
    /// Whose it was.
    pub user_id: UserId,
    /// The agent that spoke in it.
    pub agent_id: AgentId,
    /// Why it was removed.
    pub reason: PurgeReason,
}

/// What one batch of purging did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PurgeReport {
    /// What was removed, each with its turns, its agent's state and its requests. Fewer than the batch's limit: for
    /// now there is no more that is not locked by somebody else.
    pub purged: Vec<PurgedConversation>,
    /// Whether somebody else was purging, so that nothing more was done here.
    pub busy: bool,
}
