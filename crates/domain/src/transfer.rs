//! Conversations on their way from one store to another, whole: what is exported, and what becomes of it where
//! it is imported.
//!
//! A conversation travels as its head, its agent's state and its turns, in this order: whoever reads it knows
//! before the first turn what is to come, and needs no more than a few turns in memory. [`record`] is the same
//! as lines of JSON, for files.

pub mod comparison;
pub mod record;

use std::fmt;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    AgentState, Conversation, ConversationId, ConversationStatus, Entity, NewTurn, RepositoryError, Turn,
    UserId, clock,
};

/// Which conversations to export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportFilter {
    /// Only this user's; `None`: everybody's.
    pub user_id: Option<UserId>,
    /// Only those last changed at this time or later.
    pub changed_from: Option<DateTime<Utc>>,
    /// Only those last changed before this time.
    pub changed_before: Option<DateTime<Utc>>,
    /// Only those of these statuses.
    pub statuses: Vec<ConversationStatus>,
    /// Only these; `None`: whichever. A file's header does not name them.
    pub conversation_ids: Option<Vec<ConversationId>>,
}

impl Default for ExportFilter {
    /// Everybody's, all but the deleted.
    fn default() -> Self {
        Self {
            user_id: None,
            changed_from: None,
            changed_before: None,
            statuses: vec![ConversationStatus::Active, ConversationStatus::Archived],
            conversation_ids: None,
        }
    }
}

impl ExportFilter {
    /// Whether `conversation` is one of those.
    #[must_use]
    pub fn takes(&self, conversation: &Conversation) -> bool {
        self.user_id.is_none_or(|user_id| conversation.user_id == user_id)
            && self.changed_from.is_none_or(|from| conversation.updated_at >= from)
            && self.changed_before.is_none_or(|before| conversation.updated_at < before)
            && self.statuses.contains(&conversation.status)
            && self.conversation_ids.as_ref().is_none_or(|ids| ids.contains(&conversation.conversation_id))
    }
}

/// A part of an export. Behind a conversation come its agent's state, where it has one, and its turns in their
/// order.
#[derive(Debug, Clone, PartialEq)]
pub enum Exported {
    /// The next conversation.
    Conversation(Box<Conversation>),
    /// The state of the agent that speaks in it.
    AgentState(Box<AgentState>),
    /// Its next turn.
    Turn(Box<Turn>),
}

/// A conversation that is to be stored as it was elsewhere, but for its turns.
#[derive(Debug, Clone, PartialEq)]
pub struct IncomingHead {
    /// The conversation. Its `updated_at` is stored as it stands here, or as the store's own time where that is
    /// earlier.
    pub conversation: Conversation,
    /// The state of the agent that speaks in it.
    pub agent_state: Option<AgentState>,
}

impl IncomingHead {
    /// Refuses what no store can have held: a text that is not of its field's kind, a time out of range, a state
    /// that is another conversation's or of another revision.
    ///
    /// Every store calls it before anything else.
    pub fn validate(&self) -> Result<(), RepositoryError> {
        let Self { conversation, agent_state } = self;
        conversation.model_id.require_name("/model_id")?;
        conversation.external_id.as_ref().map_or(Ok(()), |text| text.require_name("/external_id"))?;
        conversation.topic_summary.as_ref().map_or(Ok(()), |text| text.require_summary("/topic_summary"))?;
        conversation.system_prompt.as_ref().map_or(Ok(()), |text| text.require_prompt("/system_prompt"))?;
        clock::storable(conversation.created_at, "/created_at")?;
        clock::storable(conversation.updated_at, "/updated_at")?;
        if i32::try_from(conversation.turn_count).is_err() {
            return Err(RepositoryError::invalid("/turn_count", "no conversation has so many turns"));
        }
        if i64::try_from(conversation.state_revision).is_err() {
            return Err(RepositoryError::invalid("/state_revision", "no state has been saved so often"));
        }
        agent_state.as_ref().map_or(Ok(()), |state| state.refuse_other_conversation(conversation))
    }
}

impl AgentState {
    /// Refuses a state that cannot be that of the agent in `conversation`.
    fn refuse_other_conversation(&self, conversation: &Conversation) -> Result<(), RepositoryError> {
        if self.conversation_id != conversation.conversation_id
            || self.user_id != conversation.user_id
            || self.agent_id != conversation.agent_id
        {
            return Err(RepositoryError::invalid("/agent_id", "the state is another conversation's"));
        }
        if self.revision != conversation.state_revision || self.revision == 0 {
            let reason = "it is not the conversation's state_revision, or 0: a state is of its last revision";
            return Err(RepositoryError::invalid("/revision", reason));
        }
        if self.through_turn > conversation.turn_count {
            let reason = "the state has seen more turns than the conversation has";
            return Err(RepositoryError::invalid("/through_turn", reason));
        }
        clock::storable(self.created_at, "/created_at")?;
        clock::storable(self.updated_at, "/updated_at")?;
        Ok(())
    }
}

/// A conversation that is to be stored as it was elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct IncomingConversation {
    /// All but its turns.
    pub head: IncomingHead,
    /// Its turns, from the first one on.
    pub turns: Vec<NewTurn>,
}

impl IncomingConversation {
    /// Refuses what [`IncomingHead::validate`] does, and turns that are not as many as the head says, or of which
    /// two have one id.
    ///
    /// Every store calls it before anything else.
    pub fn validate(&self) -> Result<(), RepositoryError> {
        self.head.validate()?;
        if self.turns.len() != self.head.conversation.turn_count as usize {
            let reason =
                format!("it says {}, and {} came", self.head.conversation.turn_count, self.turns.len());
            return Err(RepositoryError::invalid("/turn_count", reason));
        }
        NewTurn::refuse_repeated(&self.turns)
    }
}

/// What became of a conversation that was to be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    /// It is stored now.
    Stored,
    /// It was there before, the same in everything.
    Present,
    /// It was there before, and has gone on or was changed since. It stays as it is there.
    Continued,
    /// Nothing was stored of it.
    Refused(Refusal),
}

/// Why a conversation was not imported. It says nothing of any content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Refusal(String);

impl Refusal {
    /// It cannot be stored as it came.
    #[must_use]
    pub fn invalid(error: &RepositoryError) -> Self {
        Self(error.to_string())
    }

    /// Its id is that of a conversation that was deleted (P6).
    #[must_use]
    pub fn deleted() -> Self {
        Self("it was deleted or purged here: what is deleted stays deleted".to_owned())
    }

    /// It was purged without being archived, or is in no archive that the store knows of.
    #[must_use]
    pub fn not_archived() -> Self {
        Self(
            "the store does not know it as archived: `import` takes in an archive's file by itself"
                .to_owned(),
        )
    }

    /// An id that it comes with is another conversation's here.
    #[must_use]
    pub fn in_use(entity: Entity) -> Self {
        Self(match entity {
            Entity::Turn => "a turn of it has the id of another conversation's turn".to_owned(),
            _ => "its id, its agent's or its external id is another conversation's here".to_owned(),
        })
    }

    /// It is here, and `what` is different.
    pub(crate) fn different(what: &str) -> Self {
        Self(format!("it is here already, and {what}"))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Imported {
    /// What an error is of the import of a single conversation, where it is a refusal of that conversation.
    ///
    /// # Errors
    /// Whatever else the store's error is: nothing is known of the conversation then.
    pub fn of_refusal(error: RepositoryError) -> Result<Self, RepositoryError> {
        match error {
            RepositoryError::AlreadyExists { entity } => Ok(Self::Refused(Refusal::in_use(entity))),
            RepositoryError::Invalid { .. } | RepositoryError::TooLarge { .. } => {
                Ok(Self::Refused(Refusal::invalid(&error)))
            }
            error => Err(error),
        }
    }
}
