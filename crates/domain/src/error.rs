//! What a repository may answer instead of doing what it was asked.

use std::error::Error as StdError;
use std::fmt;

use thiserror::Error;

use crate::{HoldId, TurnId};

/// The kind of thing an error speaks of. Never its id: absent and foreign must read the same (P9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Entity {
    /// A conversation.
    Conversation,
    /// A turn of a conversation.
    Turn,
    /// The state of an agent.
    AgentState,
    /// A request that is being answered.
    Request,
    /// A legal hold.
    Hold,
    /// An erasure.
    Erasure,
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Conversation => "conversation",
            Self::Turn => "turn",
            Self::AgentState => "agent state",
            Self::Request => "request",
            Self::Hold => "hold",
            Self::Erasure => "erasure",
        })
    }
}

/// The cause behind an error. Shown by its own `Display` only where it is known to hold no row data.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// A repository's refusal or failure.
///
/// Each variant says whether the operation may have been applied; [`is_retryable`](Self::is_retryable)
/// says whether the same call can succeed later. Nothing in it is a secret or a row's content.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// There is no such thing, or it is another user's, or it is deleted. Not applied.
    #[error("{entity} not found")]
    NotFound {
        /// What was looked for.
        entity: Entity,
    },
    /// The id is in use, or was in use and is deleted. Not applied.
    #[error("a {entity} with this id already exists or has existed")]
    AlreadyExists {
        /// What already exists.
        entity: Entity,
    },
    /// The thing has changed since the caller last saw it. Not applied: read it again, then decide.
    #[error("the {entity} has changed: expected {expected}, found {observed}")]
    Conflict {
        /// What has changed: the conversation's turn count or time, or the agent state's revision.
        entity: Entity,
        /// The turn count, the revision, or the time in microseconds since 1970 that the caller expected.
        expected: u64,
        /// The one that the store holds.
        observed: u64,
    },
    /// The conversation is archived and takes no turns. Not applied.
    #[error("the {entity} is archived: make it active again to change it")]
    Closed {
        /// What is closed.
        entity: Entity,
    },
    /// The turn id is taken by a turn with other content. Not applied.
    #[error("turn {turn_id} is already stored with other content: use a new turn id for a new turn")]
    IdempotencyMismatch {
        /// The id that was sent twice.
        turn_id: TurnId,
    },
    /// A legal hold is on it. Not applied. Why it was placed is for operators, and not shown.
    #[error("kept by the legal hold {hold_id}: release that first, if it may go")]
    Held {
        /// The hold, or one of them.
        hold_id: HoldId,
        /// Why it was placed.
        reason: String,
    },
    /// The value cannot be stored exactly. Refused before any I/O (P10).
    #[error("invalid value at {}: {reason}", DisplayPointer(pointer))]
    Invalid {
        /// A JSON pointer (RFC 6901) to the offending value; empty for the document itself.
        pointer: String,
        /// What is wrong, and what to send instead.
        reason: String,
    },
    /// The value is larger than the limit. Refused before any I/O (P10).
    #[error(
        "value at {} is too large: {size_bytes} bytes, and the limit is {limit_bytes}",
        DisplayPointer(pointer)
    )]
    TooLarge {
        /// A JSON pointer (RFC 6901) to the offending value; empty for the document itself.
        pointer: String,
        /// The size of the value in bytes.
        size_bytes: usize,
        /// The largest size taken, in bytes.
        limit_bytes: usize,
    },
    /// The database cannot be reached. Definitely not applied.
    #[error("the database is unavailable: {reason}")]
    Unavailable {
        /// What was tried and how it ended.
        reason: String,
        /// The cause, where there is one.
        #[source]
        source: Option<Cause>,
    },
    /// The connection was lost while the answer was awaited, or a disk failed under a write: it may or may not
    /// have been applied. The same call, with the same key, resolves it; a save of an agent's state has none: read the
    /// state.
    #[error(
        "neither the database nor, in an outage, the journal's disk said whether it was stored: send the same \
         request again with its key {key}"
    )]
    OutcomeUnknown {
        /// The idempotency key to send again: a turn's id, a conversation's id, an agent's id.
        key: String,
    },
    /// No connection was free in time. Not applied: wait, then try again.
    #[error("overloaded: {reason}")]
    Overloaded {
        /// What ran out.
        reason: String,
    },
    /// The database takes no writes. Not applied.
    #[error("the database is read-only: {reason}")]
    ReadOnly {
        /// How it showed, and what to do.
        reason: String,
    },
    /// The database has no room left. Not applied.
    #[error("the storage is full: {reason}")]
    StorageFull {
        /// What is full, and what to do.
        reason: String,
    },
    /// The database does not let this program do what it has to: a right is not granted, or row-level security
    /// is in the way. It is about no row in particular. Not applied.
    #[error("the database denies access: {reason}")]
    Denied {
        /// What is denied, and what to do.
        reason: String,
    },
    /// The schema is not the one that this program knows. Nothing was touched.
    #[error("the database schema is at {found}, this program knows {supported}: {remedy}")]
    SchemaSkew {
        /// The migration that the database is at.
        found: String,
        /// The newest migration that this program knows.
        supported: String,
        /// What to do about it.
        remedy: String,
    },
    /// A stored row is not what this program can have written. Never skipped, never guessed at.
    #[error("inconsistent row {row} in {table}.{column}: {reason}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's primary key.
        row: String,
        /// What is wrong with it, without its content.
        reason: String,
    },
    /// Anything else that the backend refused. Not applied; the same call fails again.
    #[error("the storage backend failed: {reason}")]
    Backend {
        /// What was being done.
        reason: String,
        /// The cause, where there is one.
        #[source]
        source: Option<Cause>,
    },
}

impl RepositoryError {
    /// Whether the same call, with the same key, can succeed later without the caller changing anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. }
                | Self::OutcomeUnknown { .. }
                | Self::Overloaded { .. }
                | Self::ReadOnly { .. }
                | Self::StorageFull { .. }
                | Self::Denied { .. }
                | Self::SchemaSkew { .. }
        )
    }

    /// An [`Invalid`](Self::Invalid) at `pointer`.
    pub fn invalid(pointer: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { pointer: pointer.into(), reason: reason.into() }
    }

    /// A [`NotFound`](Self::NotFound) of `entity`.
    #[must_use]
    pub const fn not_found(entity: Entity) -> Self {
        Self::NotFound { entity }
    }

    /// An [`Unavailable`](Self::Unavailable) for `reason`, without a cause to show.
    pub fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), source: None }
    }

    /// The same failure for another of those who shared a call, whose own key is `key`: the cause stays with
    /// the first.
    #[must_use]
    pub fn shared(&self, key: impl fmt::Display) -> Self {
        match self {
            Self::OutcomeUnknown { .. } => Self::OutcomeUnknown { key: key.to_string() },
            Self::Unavailable { reason, .. } => Self::unavailable(reason.clone()),
            Self::Overloaded { reason } => Self::Overloaded { reason: reason.clone() },
            Self::ReadOnly { reason } => Self::ReadOnly { reason: reason.clone() },
            Self::StorageFull { reason } => Self::StorageFull { reason: reason.clone() },
            Self::SchemaSkew { found, supported, remedy } => Self::SchemaSkew {
                found: found.clone(),
                supported: supported.clone(),
                remedy: remedy.clone(),
            },
            Self::Backend { reason, .. } => Self::Backend { reason: reason.clone(), source: None },
            other => Self::Backend { reason: other.to_string(), source: None },
        }
    }

    /// The same refusal seen from the request that the value stands in: `prefix` goes before the pointer.
    #[must_use]
    pub fn at(mut self, prefix: &str) -> Self {
        if let Self::Invalid { pointer, .. } | Self::TooLarge { pointer, .. } = &mut self {
            pointer.insert_str(0, prefix);
        }
        self
    }
}

/// Shows the empty pointer, which means the whole document, as words.
struct DisplayPointer<'a>(&'a str);

impl fmt::Display for DisplayPointer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "the top of the document" } else { self.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_failure_names_each_ones_own_key() {
        let lost = RepositoryError::OutcomeUnknown { key: "group".into() };
        assert!(matches!(lost.shared("k"), RepositoryError::OutcomeUnknown { key } if key == "k"));
        for error in [
            RepositoryError::StorageFull { reason: "r".into() },
            RepositoryError::ReadOnly { reason: "r".into() },
            RepositoryError::Overloaded { reason: "r".into() },
            RepositoryError::unavailable("r"),
            RepositoryError::Backend { reason: "r".into(), source: None },
        ] {
            assert_eq!(error.shared("k").to_string(), error.to_string());
        }
    }

    #[test]
    fn a_pointer_is_prefixed_with_where_the_value_stands() {
        let error = RepositoryError::invalid("/0/content", "no").at("/input_messages");
        assert_eq!(error.to_string(), "invalid value at /input_messages/0/content: no");
        assert_eq!(
            RepositoryError::invalid("", "no").to_string(),
            "invalid value at the top of the document: no"
        );
    }

    #[test]
    fn a_held_refusal_does_not_say_why_it_is_held() {
        let held =
            RepositoryError::Held { hold_id: HoldId::generate(), reason: "a canary of a matter".into() };
        assert!(!held.to_string().contains("canary"), "{held}");
    }

    #[test]
    fn a_refusal_that_the_caller_must_act_on_is_not_retryable() {
        assert!(!RepositoryError::not_found(Entity::Turn).is_retryable());
        let conflict = RepositoryError::Conflict { entity: Entity::AgentState, expected: 1, observed: 2 };
        assert!(!conflict.is_retryable());
        assert!(RepositoryError::unavailable("no route").is_retryable());
        assert!(RepositoryError::OutcomeUnknown { key: "k".into() }.is_retryable());
    }
}
