//! Erasure: all that is of a user or of one conversation is removed, for good, and it can be shown.
//!
//! What is left names nobody who was erased: a tombstone for each conversation, with a hash in the user's place, and a row
//! for each erasure, by which replicas and journals know what they may not bring back. That row names the place of archives,
//! and the operator who has stated that one is lost. The audit log stays as it is.

mod archive;

use std::fmt;
use std::ops::AddAssign;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};

pub use self::archive::{ArchivedOfTarget, ErasedArchive, LostArchive, note};
use crate::audit::{AuditHash, AuditHead};
use crate::{Actor, AuditAction, AuditDetail, AuditOutcome, NewAuditEvent};
use crate::{ConversationId, ErasureId, HoldTarget, UserId};

/// What is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErasureTarget {
    /// One conversation, whoever's it is.
    Conversation(ConversationId),
    /// All that is of a user. The user may begin anew later.
    User(UserId),
}

impl ErasureTarget {
    /// The user, where it is one.
    #[must_use]
    pub const fn user(self) -> Option<UserId> {
        match self {
            Self::User(user_id) => Some(user_id),
            Self::Conversation(_) => None,
        }
    }

    /// The conversation, where it is one.
    #[must_use]
    pub const fn conversation(self) -> Option<ConversationId> {
        match self {
            Self::Conversation(conversation_id) => Some(conversation_id),
            Self::User(_) => None,
        }
    }
}

impl From<ErasureTarget> for HoldTarget {
    fn from(target: ErasureTarget) -> Self {
        match target {
            ErasureTarget::Conversation(conversation_id) => Self::Conversation(conversation_id),
            ErasureTarget::User(user_id) => Self::User(user_id),
        }
    }
}

/// What stands in a user's place where the user is erased: the SHA-256 of the id's 16 bytes.
#[must_use]
pub fn user_hash(user_id: UserId) -> AuditHash {
    AuditHash(Sha256::digest(user_id.as_uuid().as_bytes()).into())
}

/// An erasure that is asked for, and under whose id it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewErasure {
    /// Its id.
    pub erasure_id: ErasureId,
    /// What is erased. No store keeps a user's id with it.
    pub target: ErasureTarget,
    /// Who erases.
    pub actor: Actor,
}

impl NewErasure {
    /// A new erasure of `target`.
    #[must_use]
    pub fn of(target: ErasureTarget, actor: Actor) -> Self {
        Self { erasure_id: ErasureId::generate(), target, actor }
    }

    /// Whether `erasure` is one of this target, which is `owner`'s.
    #[must_use]
    pub fn is_of(&self, erasure: &Erasure) -> bool {
        match self.target {
            ErasureTarget::Conversation(conversation_id) => erasure.conversation_id == Some(conversation_id),
            ErasureTarget::User(user_id) => {
                erasure.conversation_id.is_none() && erasure.user_hash == Some(user_hash(user_id))
            }
        }
    }

    /// The erasure as it is when it is begun.
    #[must_use]
    pub fn begun(&self, user_hash: Option<AuditHash>, now: DateTime<Utc>) -> Erasure {
        Erasure {
            erasure_id: self.erasure_id,
            user_hash,
            conversation_id: self.target.conversation(),
            begun_at: now,
            erased_at: now,
            removed: ErasedRows::default(),
            content: AuditHash::default(),
            archives: Vec::new(),
            certificate: None,
            recorded: None,
        }
    }

    /// The audit log's row for a step of it: by whom, and in the user's place the hash.
    #[must_use]
    pub fn event(&self, erasure: &Erasure, outcome: AuditOutcome, detail: AuditDetail) -> NewAuditEvent {
        let detail = detail.id("erasure_id", erasure.erasure_id);
        let detail = match erasure.user_hash {
            Some(user_hash) => detail.hash("user_hash", user_hash),
            None => detail,
        };
        NewAuditEvent {
            conversation_id: erasure.conversation_id,
            outcome,
            detail,
            ..NewAuditEvent::done(self.actor.clone(), AuditAction::Erase)
        }
    }
}

/// How many rows of each kind were removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ErasedRows {
    /// Conversations.
    pub conversations: u64,
    /// Their turns.
    pub turns: u64,
    /// Their agents' states.
    pub agent_states: u64,
    /// Requests, answered or not.
    pub requests: u64,
    /// Holds that had been released.
    pub holds: u64,
    /// The user's own retention.
    pub retention_overrides: u64,
    /// Tombstones of conversations that were removed earlier, which say now that they are erased.
    pub tombstones: u64,
}

impl ErasedRows {
    /// Whether nothing was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// As the audit log has it.
    #[must_use]
    pub fn counted(&self, detail: AuditDetail) -> AuditDetail {
        detail
            .count("conversations", self.conversations)
            .count("turns", self.turns)
            .count("agent_states", self.agent_states)
            .count("requests", self.requests)
            .count("holds", self.holds)
            .count("retention_overrides", self.retention_overrides)
            .count("tombstones", self.tombstones)
    }
}

impl AddAssign for ErasedRows {
    fn add_assign(&mut self, other: Self) {
        self.conversations += other.conversations;
        self.turns += other.turns;
        self.agent_states += other.agent_states;
        self.requests += other.requests;
        self.holds += other.holds;
        self.retention_overrides += other.retention_overrides;
        self.tombstones += other.tombstones;
    }
}

/// An erasure as a store has it. It names no user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Its id.
    pub erasure_id: ErasureId,
    /// Whose it is, as a hash; `None`: nobody knows whose the conversation was.
    pub user_hash: Option<AuditHash>,
    /// The conversation, where it is of one.
    pub conversation_id: Option<ConversationId>,
    /// When it was begun.
    pub begun_at: DateTime<Utc>,
    /// When it last removed something, or looked: what was journaled before is not to come back.
    pub erased_at: DateTime<Utc>,
    /// What it has removed so far.
    pub removed: ErasedRows,
    /// The hash over what it has removed so far: see [`ContentDigest`].
    pub content: AuditHash,
    /// The archives that held something of it, as they were.
    pub archives: Vec<ErasedArchive>,
    /// The certificate; `None`: it has not ended.
    pub certificate: Option<String>,
    /// The audit log's row that says that it ended.
    pub recorded: Option<AuditHead>,
}

/// The hash over what is erased, conversation by conversation in the order in which they go. It says nothing of what
/// stood there; who has a copy of it can show that it is the copy.
///
/// It begins with 32 zero bytes. With each conversation it becomes the SHA-256 of itself, the conversation's 16
/// bytes, and the [content hashes](crate::turn::ContentHash) of its turns in their order.
#[derive(Debug)]
pub struct ContentDigest(AuditHash);

impl ContentDigest {
    /// Goes on behind `content`.
    #[must_use]
    pub const fn behind(content: AuditHash) -> Self {
        Self(content)
    }

    /// A conversation and its turns' content hashes, one behind the other.
    pub fn add(&mut self, conversation_id: ConversationId, content_hashes: impl AsRef<[u8]>) {
        let hash = Sha256::new().chain_update(self.0.0).chain_update(conversation_id.as_uuid().as_bytes());
        self.0 = AuditHash(hash.chain_update(content_hashes).finalize().into());
    }

    /// The hash over all that were added.
    #[must_use]
    pub const fn hash(&self) -> AuditHash {
        self.0
    }
}

/// What a step of an erasure came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureStep {
    /// The erasure as it is now.
    pub erasure: Erasure,
    /// Whether there may be more to remove.
    pub has_more: bool,
}

/// How many rows of a table name what was to be erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RemainingRows {
    /// The table.
    pub table: String,
    /// How many.
    pub rows: u64,
}

impl fmt::Display for RemainingRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.rows, self.table)
    }
}

/// A conversation as a user has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OwnedConversation {
    /// The user.
    pub user_id: UserId,
    /// The conversation.
    pub conversation_id: ConversationId,
}

/// Of those that were asked for, the erased ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erased {
    /// What time it is for the store.
    pub now: DateTime<Utc>,
    /// The erased ones.
    pub conversations: Vec<ErasedConversation>,
}

/// A conversation that is erased, or whose user is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErasedConversation {
    /// Which.
    pub owned: OwnedConversation,
    /// When all that was the user's was erased for the last time; what is newer is the user's new beginning.
    pub user_erased_at: Option<DateTime<Utc>>,
    /// Whether the conversation itself is, and never comes back.
    pub is_erased: bool,
}

impl ErasedConversation {
    /// Whether what was taken at `recorded_at` is not to be kept, by the store's clock.
    #[must_use]
    pub fn includes(&self, recorded_at: DateTime<Utc>) -> bool {
        self.is_erased || self.user_erased_at.is_some_and(|erased_at| recorded_at <= erased_at)
    }
}

impl Erased {
    /// Whether what was journaled for `owned` at `recorded_at` is erased, where it is `now` by the journal's clock: the
    /// two clocks need not agree.
    #[must_use]
    pub fn includes(&self, owned: OwnedConversation, recorded_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        self.includes_of_age(owned, now - recorded_at)
    }

    /// Whether what was taken for `owned` so long ago is erased.
    #[must_use]
    pub fn includes_of_age(&self, owned: OwnedConversation, age: TimeDelta) -> bool {
        let recorded_at = self.now.checked_sub_signed(age).unwrap_or(self.now);
        self.conversations.iter().any(|erased| erased.owned == owned && erased.includes(recorded_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_content_s_hash_is_of_all_that_went_in_its_order_and_of_nothing_else() {
        let (one, other) = (ConversationId::generate(), ConversationId::generate());
        let of = |parts: &[(ConversationId, &[u8])]| {
            let mut digest = ContentDigest::behind(AuditHash::default());
            for (id, hashes) in parts {
                digest.add(*id, hashes);
            }
            digest.hash()
        };
        let whole = of(&[(one, &[1; 64]), (other, &[2; 32])]);
        let mut later = ContentDigest::behind(of(&[(one, &[1; 64])]));
        later.add(other, [2; 32]);
        assert_eq!(later.hash(), whole, "in two steps it is the same");
        for changed in [of(&[(other, &[2; 32]), (one, &[1; 64])]), of(&[(one, &[1; 64])]), of(&[])] {
            assert_ne!(changed, whole);
        }
    }

    #[test]
    fn what_was_journaled_before_is_erased_by_whichever_clock() {
        let at = |seconds| DateTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let owned =
            OwnedConversation { user_id: UserId::generate(), conversation_id: ConversationId::generate() };
        let erased = |user_erased_at, is_erased| {
            let conversations = vec![ErasedConversation { owned, user_erased_at, is_erased }];
            Erased { now: at(100), conversations }
        };
        let user = erased(Some(at(50)), false);
        assert!(user.includes(owned, at(50), at(100)) && !user.includes(owned, at(51), at(100)));
        // The journal's clock is 30 seconds ahead, or behind.
        assert!(user.includes(owned, at(80), at(130)) && !user.includes(owned, at(81), at(130)));
        assert!(user.includes(owned, at(20), at(70)) && !user.includes(owned, at(21), at(70)));
        assert!(erased(None, true).includes(owned, at(99), at(100)), "a conversation never comes back");
        let stranger = OwnedConversation { user_id: UserId::generate(), ..owned };
        assert!(!user.includes(stranger, at(1), at(100)));
    }
}
