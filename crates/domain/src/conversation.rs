//! A conversation: whose it is, which agent speaks in it, and how far it has come.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    AgentId, ConversationCursor, ConversationId, Durability, Entity, Metadata, RepositoryError, Text, UserId,
};

/// Whether a conversation takes turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConversationStatus {
    /// It takes turns.
    Active,
    /// It can be read, and takes no turns until it is made active again.
    Archived,
    /// It is gone for its user, for ever (P6). Only an operator still finds it, until it is purged.
    Deleted,
}

impl ConversationStatus {
    /// The word for this status in the database and in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Archived => "archived",
            Self::Deleted => "deleted",
        }
    }
}

impl fmt::Display for ConversationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no conversation status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a conversation status: write active, archived or deleted")]
pub struct UnknownStatus;

impl FromStr for ConversationStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        match text {
            "active" => Ok(Self::Active),
            "archived" => Ok(Self::Archived),
            "deleted" => Ok(Self::Deleted),
            _ => Err(UnknownStatus),
        }
    }
}

/// A conversation as a store holds it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Conversation {
    /// Its id.
    pub conversation_id: ConversationId,
    /// Whose it is.
    pub user_id: UserId,
    /// The agent that speaks in it.
    pub agent_id: AgentId,
    /// The model that it was begun with.
    pub model_id: Text,
    /// The system prompt that it was begun with.
    pub system_prompt: Option<Text>,
    /// When it was made, by the store's clock.
    pub created_at: DateTime<Utc>,
    /// When it was last changed, by the store's clock: what idle time is counted from.
    pub updated_at: DateTime<Utc>,
    /// Whether it takes turns.
    pub status: ConversationStatus,
    /// What the caller noted beside it.
    pub metadata: Metadata,
    /// How many turns it has; they are numbered 1 to this (P2).
    pub turn_count: u32,
    /// The last revision that its agent's state was given; 0 where it never had one.
    pub state_revision: u64,
    /// What it is about, in a line.
    pub topic_summary: Option<Text>,
    /// The id that another system knows it by; unique among its user's, and never changed.
    pub external_id: Option<Text>,
    /// How durable what this answer speaks of is.
    pub durability: Durability,
}

/// Makes a conversation.
///
/// The same command sent twice makes one conversation: the id is the key, and a second one with the
/// same owner, agent, model, prompt and external id is answered with the conversation as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct NewConversation {
    /// Its id, made by the server.
    pub conversation_id: ConversationId,
    /// The agent that is to speak in it, made by the server.
    pub agent_id: AgentId,
    /// The model to begin with.
    pub model_id: Text,
    /// The system prompt to begin with.
    pub system_prompt: Option<Text>,
    /// What the caller notes beside it.
    pub metadata: Metadata,
    /// What it is about, in a line.
    pub topic_summary: Option<Text>,
    /// The id that another system knows it by.
    pub external_id: Option<Text>,
}

impl NewConversation {
    /// A conversation of a new id with a new agent on `model_id`, and nothing else.
    #[must_use]
    pub fn begin(model_id: Text) -> Self {
        Self {
            conversation_id: ConversationId::generate(),
            agent_id: AgentId::generate(),
            model_id,
            system_prompt: None,
            metadata: Metadata::default(),
            topic_summary: None,
            external_id: None,
        }
    }

    /// Refuses a text that is not of its field's kind: a prompt can be passed where a name belongs (P10).
    ///
    /// Every store calls it before anything else.
    pub fn validate(&self) -> Result<(), RepositoryError> {
        self.model_id.require_name("/model_id")?;
        self.external_id.as_ref().map_or(Ok(()), |text| text.require_name("/external_id"))?;
        self.topic_summary.as_ref().map_or(Ok(()), |text| text.require_summary("/topic_summary"))?;
        self.system_prompt.as_ref().map_or(Ok(()), |text| text.require_prompt("/system_prompt"))
    }

    /// Whether `existing` is what this command made when it was sent before.
    #[must_use]
    pub fn made(&self, user_id: UserId, existing: &Conversation) -> bool {
        existing.conversation_id == self.conversation_id
            && existing.user_id == user_id
            && existing.agent_id == self.agent_id
            && existing.model_id == self.model_id
            && existing.system_prompt == self.system_prompt
            && existing.external_id == self.external_id
            && existing.status != ConversationStatus::Deleted
    }
}

/// Changes a conversation; what is `None` stays as it is. The last writer wins, unless it says what it expects.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConversationUpdate {
    /// The new topic summary; `Some(None)` removes it.
    pub topic_summary: Option<Option<Text>>,
    /// The new status. Deleting is [`delete`](crate::ConversationRepository::delete), not an update.
    pub status: Option<OpenStatus>,
    /// The new metadata, in place of the old.
    pub metadata: Option<Metadata>,
    /// When the conversation was last changed, for an update that is made from that: whatever has changed it
    /// since refuses the update. Each update moves that time on, also where the clock does not.
    pub expected_updated_at: Option<DateTime<Utc>>,
}

impl ConversationUpdate {
    /// Whether it leaves everything as it is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.topic_summary.is_none() && self.status.is_none() && self.metadata.is_none()
    }

    /// What the fields that it changes are in `conversation`.
    #[must_use]
    pub fn same_fields_of(&self, conversation: &Conversation) -> Self {
        let status = match conversation.status {
            ConversationStatus::Active => Some(OpenStatus::Active),
            ConversationStatus::Archived => Some(OpenStatus::Archived),
            ConversationStatus::Deleted => None,
        };
        Self {
            topic_summary: self.topic_summary.as_ref().map(|_| conversation.topic_summary.clone()),
            status: self.status.and(status),
            metadata: self.metadata.as_ref().map(|_| conversation.metadata.clone()),
            expected_updated_at: None,
        }
    }

    /// Whether `conversation` is as if this had just been done to it.
    #[must_use]
    pub fn is_done_in(&self, conversation: &Conversation) -> bool {
        Self { expected_updated_at: None, ..self.clone() } == self.same_fields_of(conversation)
    }

    /// Refuses it for a conversation that was last changed at `observed`, where it expects another time.
    ///
    /// # Errors
    /// `Conflict`, with both times in microseconds since 1970.
    pub fn refuse_changed(&self, observed: DateTime<Utc>) -> Result<(), RepositoryError> {
        match self.expected_updated_at {
            Some(expected) if expected != observed => Err(RepositoryError::Conflict {
                entity: Entity::Conversation,
                expected: expected.timestamp_micros().unsigned_abs(),
                observed: observed.timestamp_micros().unsigned_abs(),
            }),
            _ => Ok(()),
        }
    }

    /// Refuses a text that is not of its field's kind, as [`NewConversation::validate`] does.
    pub fn validate(&self) -> Result<(), RepositoryError> {
        let summary = self.topic_summary.as_ref().and_then(Option::as_ref);
        summary.map_or(Ok(()), |text| text.require_summary("/topic_summary"))
    }
}

/// A status that an update may set: an update neither deletes nor brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenStatus {
    /// Take turns (again).
    Active,
    /// Take no turns for now.
    Archived,
}

impl From<OpenStatus> for ConversationStatus {
    fn from(status: OpenStatus) -> Self {
        match status {
            OpenStatus::Active => Self::Active,
            OpenStatus::Archived => Self::Archived,
        }
    }
}

/// A conversation as a list shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConversationSummary {
    /// Its id.
    pub conversation_id: ConversationId,
    /// The id that another system knows it by.
    pub external_id: Option<Text>,
    /// When it was made, by the store's clock.
    pub created_at: DateTime<Utc>,
    /// When it was last changed, by the store's clock: what the list is ordered by.
    pub updated_at: DateTime<Utc>,
    /// Whether it takes turns.
    pub status: ConversationStatus,
    /// The model that it was begun with.
    pub model_id: Text,
    /// How many turns it has.
    pub turn_count: u32,
    /// The metadata of its last turn; `None` where it has no turn.
    pub last_turn: Option<Metadata>,
    /// What it is about, in a line.
    pub topic_summary: Option<Text>,
}

/// Which of a user's conversations to summarise, newest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListSummaries {
    /// Go on behind this one; `None`: begin with the newest.
    pub after: Option<ConversationCursor>,
    /// How many at most; `None`: all of them.
    pub limit: Option<u32>,
}

/// How far a conversation has come: one row read by its primary key, to check a cached agent against (P5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Head {
    /// How many turns it has.
    pub turn_count: u32,
    /// The last revision that its agent's state was given; 0 where it never had one.
    pub state_revision: u64,
    /// Active or archived; a deleted conversation has no head.
    pub status: ConversationStatus,
    /// How durable what this answer speaks of is.
    pub durability: Durability,
}
