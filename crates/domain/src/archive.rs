//! Archives: conversations that retention has removed, in files outside of the store, and how far each archive has come.
//!
//! A conversation is in one place. The store says which: it is stored, or its tombstone names the archive that holds
//! it. An archive's files are written once and never changed; where it is to hold fewer conversations, another archive
//! takes its place. So whatever is interrupted, the store's word decides, and what no tombstone names is waste.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::transfer::{Imported, Refusal};
use crate::{ArchiveId, Conversation, ConversationId, PurgeReason, RepositoryError, UserId};

/// How far an archive has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveState {
    /// Its files are being written, or what they hold is being removed from the store. Nothing is restored from it
    /// before it is closed.
    Begun,
    /// It holds what the store says that it holds, and nothing else.
    Complete,
    /// It holds what the store says, and something besides: another archive is to take its place.
    Stale,
    /// It holds nothing that the store knows of: its files are to be deleted.
    GivenUp,
}

impl ArchiveState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Begun, Self::Complete, Self::Stale, Self::GivenUp];

    /// The word for this state in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Complete => "complete",
            Self::Stale => "stale",
            Self::GivenUp => "given_up",
        }
    }

    /// The state of a closed archive of `held` conversations, of which the store says of `archived` that it holds
    /// them.
    #[must_use]
    pub const fn closed(archived: u64, held: u64) -> Self {
        match archived {
            0 => Self::GivenUp,
            archived if archived == held => Self::Complete,
            _ => Self::Stale,
        }
    }
}

impl fmt::Display for ArchiveState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no state of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a state of an archive")]
pub struct UnknownArchiveState;

impl FromStr for ArchiveState {
    type Err = UnknownArchiveState;

    fn from_str(text: &str) -> Result<Self, UnknownArchiveState> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(UnknownArchiveState)
    }
}

/// How much an archive holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ArchiveContent {
    /// Conversations.
    pub conversations: u64,
    /// Their turns.
    pub turns: u64,
    /// The bytes of its file, compressed.
    pub bytes: u64,
}

/// An archive, as the store knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Archive {
    /// Its id, which its files are named after.
    pub archive_id: ArchiveId,
    /// How far it has come.
    pub state: ArchiveState,
    /// When it was begun, by the store's clock.
    pub begun_at: DateTime<Utc>,
    /// How much it holds; nothing before it is closed.
    #[serde(flatten)]
    pub content: ArchiveContent,
}

/// A conversation as an archive has it: what the store compares before it removes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchivedHead {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// How many turns it has.
    pub turn_count: u32,
    /// The last revision of its agent's state.
    pub state_revision: u64,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl ArchivedHead {
    /// What `conversation` is compared by.
    #[must_use]
    pub const fn of(conversation: &Conversation) -> Self {
        Self {
            conversation_id: conversation.conversation_id,
            turn_count: conversation.turn_count,
            state_revision: conversation.state_revision,
            updated_at: conversation.updated_at,
        }
    }
}

/// A user's pseudonym in tombstones and archives: who knows the user's id can compute it, and nobody the other way
/// round but by trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserHash(pub [u8; 32]);

impl UserHash {
    /// The pseudonym of this user.
    #[must_use]
    pub fn of(user_id: UserId) -> Self {
        Self(Sha256::digest(user_id.as_uuid().as_bytes()).into())
    }
}

impl fmt::Display for UserHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for UserHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What is left of a removed conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tombstone {
    /// Why it was removed.
    pub reason: PurgeReason,
    /// The archive that holds it.
    pub archive_id: Option<ArchiveId>,
}

/// Whose conversations, or which, no archive may hold any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forgotten {
    /// These.
    Conversations(Vec<ConversationId>),
    /// All of the user with this pseudonym.
    User(UserHash),
}

/// What became of a conversation that was to be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Restored {
    /// It is stored again, as it was.
    Stored,
    /// It is stored already: it was restored before.
    Present,
    /// The store says that another archive holds it by now, or that this one is not closed yet: look again.
    Elsewhere,
    /// It stays away.
    Refused(Refusal),
}

impl Restored {
    /// What an error is of the restoring of a single conversation, where it is a refusal of that conversation.
    ///
    /// # Errors
    /// Whatever else the store's error is: nothing is known of the conversation then.
    pub fn of_refusal(error: RepositoryError) -> Result<Self, RepositoryError> {
        Imported::of_refusal(error).map(Self::from)
    }
}

impl From<Imported> for Restored {
    fn from(imported: Imported) -> Self {
        match imported {
            Imported::Stored => Self::Stored,
            Imported::Present | Imported::Continued => Self::Present,
            Imported::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_back_from_its_word() {
        for state in ArchiveState::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert_eq!("Begun".parse::<ArchiveState>(), Err(UnknownArchiveState));
    }

    #[test]
    fn an_archive_is_complete_where_all_that_it_holds_is_archived_in_it() {
        assert_eq!(ArchiveState::closed(3, 3), ArchiveState::Complete);
        assert_eq!(ArchiveState::closed(2, 3), ArchiveState::Stale);
        assert_eq!(ArchiveState::closed(0, 3), ArchiveState::GivenUp);
        assert_eq!(ArchiveState::closed(0, 0), ArchiveState::GivenUp);
    }

    #[test]
    fn a_pseudonym_is_always_the_same_one() {
        let shown = UserHash::of(UserId::from_text("alice")).to_string();
        assert_eq!(shown.len(), 64);
        assert_eq!(UserHash::of(UserId::from_text("alice")).to_string(), shown);
        assert_ne!(UserHash::of(UserId::from_text("bob")).to_string(), shown);
    }
}
