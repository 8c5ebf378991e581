//! A turn between its answer and its store.

use chrono::{DateTime, Utc};
use lcs_domain::{Appended, ConversationId, NewTurn, Payload, RepositoryError, UserId};

use super::{AgentManagerError, TurnAnswer, TurnRequest};

/// A turn that the agent has answered and nobody has stored yet.
pub(super) struct Answered {
    pub(super) user_id: UserId,
    pub(super) conversation_id: ConversationId,
    pub(super) request: TurnRequest,
    pub(super) output_message: Payload,
    pub(super) interrupted: bool,
    pub(super) started_at: DateTime<Utc>,
    pub(super) completed_at: DateTime<Utc>,
}

impl Answered {
    /// The turn as it is appended.
    pub(super) fn turn(&self) -> Result<NewTurn, RepositoryError> {
        NewTurn::new(
            self.request.turn_id,
            self.request.input_messages.clone(),
            Some(self.output_message.clone()),
            self.started_at,
            self.completed_at,
            self.request.metadata.clone(),
        )
    }

    /// What its caller is told, now that it is stored.
    pub(super) fn stored(self, appended: &Appended, interleaved: bool) -> TurnAnswer {
        TurnAnswer {
            turn_id: self.request.turn_id,
            conversation_id: self.conversation_id,
            turn_number: appended.turn_number,
            output_message: self.output_message,
            metadata: self.request.metadata,
            interrupted: self.interrupted,
            interleaved,
            replayed: false,
            durability: appended.durability,
        }
    }

    /// What its caller is told where it is not stored: the answer comes with the error.
    pub(super) fn not_stored(self, source: RepositoryError) -> AgentManagerError {
        AgentManagerError::NotStored { turn_id: self.request.turn_id, answer: self.output_message, source }
    }
}
