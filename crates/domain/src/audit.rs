//! The audit log: who did what, on whose behalf, when, and how it ended; never what was said.
//!
//! Its rows are a chain. Each has the hash of the one before it, and the place of the last one is kept beside
//! them: a row that was changed, removed or put in is found by reading the chain ([`verify`]).
//!
//! A row's hash is the SHA-256 of these fields, one after the other: the text `lcs-audit-1`, `previous_hash`,
//! `sequence`, `at`, `actor`, `on_behalf_of`, `action`, `conversation_id`, `outcome`, `detail`. Before each
//! stands its length in bytes as four bytes, the highest first; the length of one that is null is -1. Texts are
//! UTF-8, ids 16 bytes, `sequence` and `at` eight bytes, the highest first; `at` counts microseconds since 1970
//! in UTC. `detail` is hashed as the text that is stored.

mod chain;
mod detail;

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

pub use self::chain::{AuditBreak, AuditHead, AuditVerification, verify};
pub use self::detail::AuditDetail;
use crate::erasure::user_hash;
use crate::{ConversationId, PageLimit, UserId};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuditAction {
    /// A user's conversation was deleted: it is hidden, and its rows are still there.
    ConversationDeleted,
    /// An operator opened a conversation and was shown what was said in it.
    ConversationRead,
    /// The rows of conversations were removed by retention. Its detail names them.
    Purge,
    /// A legal hold was placed.
    HoldPlaced,
    /// A legal hold was released.
    HoldReleased,
    /// A user was given a retention of their own.
    RetentionSet,
    /// A user's own retention was taken back.
    RetentionRemoved,
    /// Conversations were written to a file.
    Export,
    /// Conversations were read from another system or a file.
    Import,
    /// Conversations were moved to the archive.
    Archive,
    /// Conversations came back from the archive.
    Restore,
    /// All that is of a user or a conversation was removed.
    Erase,
    /// Somebody was refused.
    AccessDenied,
    /// The schema was brought up to date.
    MigrationApplied,
    /// The schema went one step back.
    MigrationReverted,
    /// The service was started with another configuration than before.
    ConfigurationChanged,
}

impl AuditAction {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::ConversationDeleted,
        Self::ConversationRead,
        Self::Purge,
        Self::HoldPlaced,
        Self::HoldReleased,
        Self::RetentionSet,
        Self::RetentionRemoved,
        Self::Export,
        Self::Import,
        Self::Archive,
        Self::Restore,
        Self::Erase,
        Self::AccessDenied,
        Self::MigrationApplied,
        Self::MigrationReverted,
        Self::ConfigurationChanged,
    ];

    /// The word for it in the log. It never changes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConversationDeleted => "conversation_deleted",
            Self::ConversationRead => "conversation_read",
            Self::Purge => "purge",
            Self::HoldPlaced => "hold_placed",
            Self::HoldReleased => "hold_released",
            Self::RetentionSet => "retention_set",
            Self::RetentionRemoved => "retention_removed",
            Self::Export => "export",
            Self::Import => "import",
            Self::Archive => "archive",
            Self::Restore => "restore",
            Self::Erase => "erase",
            Self::AccessDenied => "access_denied",
            Self::MigrationApplied => "migration_applied",
            Self::MigrationReverted => "migration_reverted",
            Self::ConfigurationChanged => "configuration_changed",
        }
    }
}

impl fmt::Display for AuditAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an action of the audit log: write one as `audit list` shows it, such as purge")]
pub struct UnknownAction;

impl FromStr for AuditAction {
    type Err = UnknownAction;

    fn from_str(text: &str) -> Result<Self, UnknownAction> {
        Self::ALL.into_iter().find(|action| action.as_str() == text).ok_or(UnknownAction)
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuditOutcome {
    /// It is begun: another row says how it ended, unless the program was killed.
    Begun,
    /// It was done.
    Done,
    /// It was refused, and not done.
    Refused,
    /// It was begun and failed: the detail says how far it came.
    Failed,
}

impl AuditOutcome {
    /// The word for it in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// Who did something: a user, an operator by the name that the machine knows, or the program by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Actor(String);

impl Actor {
    /// How long a name is kept, in characters.
    const MAX_CHARS: usize = 200;

    /// A user who has signed in.
    #[must_use]
    pub fn user(user_id: UserId) -> Self {
        Self(format!("user:{user_id}"))
    }

    /// Who runs a command on a machine, by the name of the account there.
    #[must_use]
    pub fn operator(account: &str) -> Self {
        Self::named("operator", account)
    }

    /// Retention, where nobody asked for it.
    #[must_use]
    pub fn retention() -> Self {
        Self("retention".to_owned())
    }

    /// The service itself.
    #[must_use]
    pub fn service() -> Self {
        Self("service".to_owned())
    }

    /// Somebody who has not said who they are, or not shown it.
    #[must_use]
    pub fn unknown() -> Self {
        Self("unknown".to_owned())
    }

    /// The actor that a store gives back.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The actor's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn named(kind: &str, name: &str) -> Self {
        let printable = |c: char| if c.is_control() { '?' } else { c };
        let name: String = name.chars().take(Self::MAX_CHARS).map(printable).collect();
        Self(format!("{kind}:{name}"))
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Something to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAuditEvent {
    /// Who did it.
    pub actor: Actor,
    /// The user whose it was, or for whom it was done.
    pub on_behalf_of: Option<UserId>,
    /// What was done.
    pub action: AuditAction,
    /// The conversation that it was about, where it was about one.
    pub conversation_id: Option<ConversationId>,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// Counts, ids and hashes beside it.
    pub detail: AuditDetail,
}

impl NewAuditEvent {
    /// What `actor` did, on nobody's behalf and about no conversation in particular.
    #[must_use]
    pub fn done(actor: Actor, action: AuditAction) -> Self {
        Self {
            actor,
            on_behalf_of: None,
            action,
            conversation_id: None,
            outcome: AuditOutcome::Done,
            detail: AuditDetail::default(),
        }
    }

    /// The row that it becomes behind `head`.
    #[must_use]
    pub fn chained(self, head: AuditHead, at: DateTime<Utc>) -> AuditRecord {
        let mut record = AuditRecord {
            sequence: head.sequence + 1,
            at,
            actor: self.actor.0,
            on_behalf_of: self.on_behalf_of,
            action: self.action.as_str().to_owned(),
            conversation_id: self.conversation_id,
            outcome: self.outcome.as_str().to_owned(),
            detail: self.detail,
            previous_hash: head.hash,
            hash: AuditHash::default(),
        };
        record.hash = record.computed_hash();
        record
    }
}

/// A row of the log, as it is stored: a newer program may have written words that this one does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditRecord {
    /// Its place: 1 for the first row, without gaps.
    pub sequence: u64,
    /// When it was recorded, by the store's clock.
    pub at: DateTime<Utc>,
    /// Who did it.
    pub actor: String,
    /// The user whose it was, or for whom it was done.
    pub on_behalf_of: Option<UserId>,
    /// What was done: an [`AuditAction`].
    pub action: String,
    /// The conversation that it was about.
    pub conversation_id: Option<ConversationId>,
    /// How it ended: an [`AuditOutcome`].
    pub outcome: String,
    /// Counts, ids and hashes beside it.
    pub detail: AuditDetail,
    /// The hash of the row before it; zeros for the first.
    pub previous_hash: AuditHash,
    /// The hash of this row.
    pub hash: AuditHash,
}

/// A SHA-256, written in hexadecimal digits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AuditHash(pub [u8; 32]);

impl fmt::Display for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for AuditHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Which rows of the log to read. They come in their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Only what was this user's, or done for them, an erasure too, which names them by a hash.
    pub user_id: Option<UserId>,
    /// Only what was about this conversation, the batch that removed, restored or erased it too.
    pub conversation_id: Option<ConversationId>,
    /// Only what was done in this way.
    pub action: Option<AuditAction>,
    /// Those behind this place; `None`: the newest.
    pub after: Option<u64>,
    /// How many at most.
    pub limit: PageLimit,
    /// Whether somebody waits for it in front of a page: of one conversation it then ends after some seconds.
    pub is_look: bool,
}

impl AuditQuery {
    /// Whether `record` is one of those that are asked for, wherever it stands.
    #[must_use]
    pub fn is_about(&self, record: &AuditRecord) -> bool {
        let is = |action: AuditAction| record.action == action.as_str();
        let names = |id: ConversationId| {
            record.conversation_id == Some(id)
                || [AuditAction::Purge, AuditAction::Archive, AuditAction::Restore, AuditAction::Erase]
                    .into_iter()
                    .any(is)
                    && record.detail.as_json().contains(&id.to_string())
        };
        let is_of = |user_id: UserId| {
            record.on_behalf_of == Some(user_id)
                || is(AuditAction::Erase) && record.detail.as_json().contains(&user_hash(user_id).to_string())
        };
        self.user_id.is_none_or(is_of)
            && self.conversation_id.is_none_or(names)
            && self.action.is_none_or(|action| record.action == action.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_read_back_from_its_word() {
        for action in AuditAction::ALL {
            assert_eq!(action.as_str().parse(), Ok(action));
        }
        assert_eq!("Purge".parse::<AuditAction>(), Err(UnknownAction));
    }

    #[test]
    fn a_name_is_bounded_and_printable() {
        assert_eq!(Actor::operator("a\0b\nc").as_str(), "operator:a?b?c");
        assert_eq!(Actor::operator(&"x".repeat(1_000)).as_str().len(), "operator:".len() + 200);
    }
}
