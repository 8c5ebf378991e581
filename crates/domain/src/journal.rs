//! What a journal keeps while the database is gone: operations that were acknowledged, in order.
//!
//! An entry holds the operation itself with its own keys, not its effect: replayed through the ordinary
//! ports, as often as need be, it comes to the same (P1). What the database then refuses is a conflict: kept
//! with the reason until an operator decides.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::{AppendTurn, ConversationId, ConversationUpdate, NewConversation, SaveAgentState, UserId};

/// An operation that a journal takes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum JournalOperation {
    /// A conversation is begun.
    Create(NewConversation),
    /// A conversation's topic, status or metadata changes.
    Update {
        /// The conversation.
        conversation_id: ConversationId,
        /// What changes. It expects no time: that would be the memory's.
        update: ConversationUpdate,
        /// What it was made from.
        base: UpdateBase,
    },
    /// A turn is appended, perhaps with the agent's state.
    Append(AppendTurn),
    /// An agent's state is stored.
    Save(SaveAgentState),
}

impl JournalOperation {
    /// The conversation that it is about.
    #[must_use]
    pub const fn conversation_id(&self) -> ConversationId {
        match self {
            Self::Create(new) => new.conversation_id,
            Self::Update { conversation_id, .. } => *conversation_id,
            Self::Append(append) => append.conversation_id,
            Self::Save(save) => save.conversation_id,
        }
    }

    /// The operation as an operator tries it again who knows what is there: an update is for that.
    #[must_use]
    pub fn for_whatever_is_there(self) -> Self {
        match self {
            Self::Update { conversation_id, update, .. } => {
                Self::Update { conversation_id, update, base: UpdateBase::default() }
            }
            operation => operation,
        }
    }

    /// Which operation it is.
    #[must_use]
    pub const fn kind(&self) -> JournalKind {
        match self {
            Self::Create(_) => JournalKind::Create,
            Self::Update { .. } => JournalKind::Update,
            Self::Append(_) => JournalKind::Append,
            Self::Save(_) => JournalKind::Save,
        }
    }
}

/// What a journaled update was made from. An update has no key: this is how it is known at a replay whether it
/// was done, and whether something newer is there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UpdateBase {
    /// What the fields that it changes were when it was taken. `None`: it is for whatever is there.
    pub seen: Option<ConversationUpdate>,
    /// When the conversation had last been changed in the database before this was tried there. `None`: it was
    /// not tried.
    pub tried_on: Option<DateTime<Utc>>,
}

/// The kind of a journaled operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JournalKind {
    /// A conversation is begun.
    Create,
    /// A conversation changes.
    Update,
    /// A turn is appended.
    Append,
    /// An agent's state is stored.
    Save,
}

impl JournalKind {
    /// The word for it in the journal, in listings and in logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Append => "append",
            Self::Save => "save",
        }
    }
}

impl fmt::Display for JournalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An operation that was acknowledged and is not in the database yet.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalEntry {
    /// Its place in the journal: rising, never used twice.
    pub sequence: u64,
    /// Whose operation it is.
    pub user_id: UserId,
    /// When it was taken, by the journal's clock.
    pub recorded_at: DateTime<Utc>,
    /// The operation.
    pub operation: JournalOperation,
}

/// An operation that was acknowledged and that the database then refused.
#[derive(Debug, Clone, PartialEq)]
pub struct JournalConflict {
    /// The entry that it was, under its sequence number.
    pub entry: JournalEntry,
    /// Why the database refused it: a sentence without the content of any row.
    pub reason: String,
    /// When it was refused, by the journal's clock.
    pub refused_at: DateTime<Utc>,
}

/// What an operator decides about a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConflictResolution {
    /// It becomes an entry again, behind all others, and is replayed once more: an update then follows
    /// whatever is there. It was taken when it was: what its user had erased since does not come back.
    Retry,
    /// It is forgotten for good.
    Discard,
}

/// How full a journal is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalStatus {
    /// Entries that are not in the database yet.
    pub entries: u64,
    /// How many bytes their operations take.
    pub bytes: u64,
    /// When the oldest of them was taken; `None` where there is none.
    pub oldest: Option<DateTime<Utc>>,
    /// Conflicts that nobody has resolved.
    pub conflicts: u64,
}
