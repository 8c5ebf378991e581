//! Legal hold: what must be kept, whatever its age, and whoever wants it gone.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::audit::AuditHash;
use crate::erasure::user_hash;
use crate::{Actor, ConversationId, HoldId, RepositoryError, Text, UserId};

/// What a hold is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoldTarget {
    /// One conversation.
    Conversation(ConversationId),
    /// All conversations of a user, those that are begun later too.
    User(UserId),
}

/// A hold to be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHold {
    /// Its id, and the key under which placing it again is the same.
    pub hold_id: HoldId,
    /// What it is on.
    pub target: HoldTarget,
    /// Why: a name of the matter, for operators. It stands in no log.
    pub reason: Text,
    /// Who places it.
    pub placed_by: Actor,
}

impl NewHold {
    /// A new hold on `target`.
    #[must_use]
    pub fn on(target: HoldTarget, reason: Text, placed_by: Actor) -> Self {
        Self { hold_id: HoldId::generate(), target, reason, placed_by }
    }

    /// Refuses a reason that is no name.
    pub fn validate(&self) -> Result<(), RepositoryError> {
        self.reason.require_name("/reason")
    }

    /// The hold that placing this one comes to, on this user or his conversation.
    #[must_use]
    pub fn placed(
        &self,
        user_id: UserId,
        conversation_id: Option<ConversationId>,
        placed_at: DateTime<Utc>,
    ) -> Hold {
        Hold {
            hold_id: self.hold_id,
            user_id,
            conversation_id,
            reason: self.reason.clone(),
            placed_by: self.placed_by.as_str().to_owned(),
            placed_at,
            released_at: None,
            released_by: None,
        }
    }

    /// Whether `hold` is what placing this one came to.
    #[must_use]
    pub fn made(&self, hold: &Hold) -> bool {
        let is_target = match self.target {
            HoldTarget::Conversation(conversation_id) => hold.conversation_id == Some(conversation_id),
            HoldTarget::User(user_id) => hold.conversation_id.is_none() && hold.user_id == user_id,
        };
        self.hold_id == hold.hold_id
            && is_target
            && self.reason == hold.reason
            && self.placed_by.as_str() == hold.placed_by
    }
}

/// A hold as a store has it.
///
/// As long as it is in force nothing that it is on is purged, archived away or erased. It hides and shows nothing:
/// what its user has deleted stays hidden, and its rows stay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// Its id.
    pub hold_id: HoldId,
    /// The user whose conversations it is on.
    pub user_id: UserId,
    /// The one that it is on; `None`: all.
    pub conversation_id: Option<ConversationId>,
    /// Why.
    pub reason: Text,
    /// Who placed it.
    pub placed_by: String,
    /// When.
    pub placed_at: DateTime<Utc>,
    /// When it was released; `None`: it is in force.
    pub released_at: Option<DateTime<Utc>>,
    /// Who released it.
    pub released_by: Option<String>,
}

impl Hold {
    /// Whether it is in force on this conversation of this user.
    #[must_use]
    pub fn holds(&self, user_id: UserId, conversation_id: ConversationId) -> bool {
        self.released_at.is_none()
            && self.user_id == user_id
            && self.conversation_id.is_none_or(|held| held == conversation_id)
    }

    /// Whether it is in force on anything of the user of this hash.
    #[must_use]
    pub fn holds_some_of(&self, of: AuditHash) -> bool {
        self.released_at.is_none() && user_hash(self.user_id) == of
    }

    /// Whether it is in force on all that is of the user of this hash: on what is archived too.
    #[must_use]
    pub fn holds_all_of(&self, of: AuditHash) -> bool {
        self.conversation_id.is_none() && self.holds_some_of(of)
    }

    /// Whether it is in force on something of `target`. Of a conversation that has a tombstone only nobody knows the
    /// owner: [`Self::holds_all_of`] does by the hash.
    #[must_use]
    pub fn concerns(&self, target: HoldTarget, owner: Option<UserId>) -> bool {
        match (target, owner) {
            (HoldTarget::User(user_id), _) => self.released_at.is_none() && self.user_id == user_id,
            (HoldTarget::Conversation(conversation_id), Some(user_id)) => {
                self.holds(user_id, conversation_id)
            }
            (HoldTarget::Conversation(_), None) => false,
        }
    }

    /// The refusal of whoever wants something gone that this is on.
    #[must_use]
    pub fn refusal(&self) -> RepositoryError {
        RepositoryError::Held { hold_id: self.hold_id, reason: self.reason.to_string() }
    }
}
