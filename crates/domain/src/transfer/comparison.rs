//! A conversation that comes to where it is already: is it the same?
//!
//! Turns never change and are never taken away, so what is stored is either what comes, or has gone on from
//! there, or is something else. When it was last changed is not compared: an import begins that anew.

use chrono::{DateTime, Utc};

use super::{Imported, IncomingHead, Refusal};
use crate::turn::ContentHash;
use crate::{AgentState, Conversation, ConversationStatus, Metadata, NewTurn, TurnId};

/// What a stored turn is known by, without its content.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnKey {
    /// Its id.
    pub turn_id: TurnId,
    /// What its content is known by.
    pub content_hash: ContentHash,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub completed_at: DateTime<Utc>,
    /// With the system's marks, which the hash leaves out.
    pub metadata: Metadata,
}

impl TurnKey {
    /// Whether `turn` is this one.
    #[must_use]
    pub fn is_of(&self, turn: &NewTurn) -> bool {
        self.turn_id == turn.turn_id()
            && self.content_hash == *turn.content_hash()
            && self.started_at == turn.started_at()
            && self.completed_at == turn.completed_at()
            && self.metadata == *turn.metadata()
    }
}

/// How what comes compares with what is stored, as far as its turns have been looked at.
#[derive(Debug)]
pub struct Comparison {
    compared: u32,
    has_changed: bool,
}

impl Comparison {
    /// Compares the heads.
    ///
    /// # Errors
    /// Why it is another conversation, or an older one.
    pub fn begin(
        incoming: &IncomingHead,
        stored: &Conversation,
        stored_state: Option<&AgentState>,
    ) -> Result<Self, Refusal> {
        let IncomingHead { conversation, agent_state } = incoming;
        if stored.user_id != conversation.user_id {
            return Err(Refusal::in_use(crate::Entity::Conversation));
        }
        if stored.status == ConversationStatus::Deleted && conversation.status != ConversationStatus::Deleted
        {
            return Err(Refusal::deleted());
        }
        let is_same = stored.agent_id == conversation.agent_id
            && stored.model_id == conversation.model_id
            && stored.system_prompt == conversation.system_prompt
            && stored.external_id == conversation.external_id
            && stored.created_at == conversation.created_at;
        if !is_same {
            return Err(Refusal::different("its agent, model, prompt, external id or beginning is another"));
        }
        if stored.turn_count < conversation.turn_count {
            let what = format!("has {} turns where {} come", stored.turn_count, conversation.turn_count);
            return Err(Refusal::different(&what));
        }
        if stored.state_revision < conversation.state_revision {
            return Err(Refusal::different("its agent's state is of an earlier revision"));
        }
        let is_same_revision = stored.state_revision == conversation.state_revision;
        if is_same_revision && !is_same_state(agent_state.as_ref(), stored_state) {
            return Err(Refusal::different("its agent's state is another"));
        }
        let has_changed = !is_same_revision
            || stored.turn_count != conversation.turn_count
            || stored.status != conversation.status
            || stored.metadata != conversation.metadata
            || stored.topic_summary != conversation.topic_summary;
        Ok(Self { compared: 0, has_changed })
    }

    /// How many turns have been compared: the next one is of the number behind.
    #[must_use]
    pub const fn compared(&self) -> u32 {
        self.compared
    }

    /// Compares the next turns, as many as come.
    ///
    /// # Errors
    /// Which of them is another one.
    pub fn turns(&mut self, incoming: &[NewTurn], stored: &[TurnKey]) -> Result<(), Refusal> {
        for (place, turn) in incoming.iter().enumerate() {
            self.compared += 1;
            if !stored.get(place).is_some_and(|key| key.is_of(turn)) {
                return Err(Refusal::different(&format!("its turn {} is another", self.compared)));
            }
        }
        Ok(())
    }

    /// What became of it, when all its turns were compared.
    #[must_use]
    pub const fn end(self) -> Imported {
        if self.has_changed { Imported::Continued } else { Imported::Present }
    }
}

/// The stored times of a state may be of another store's clock: the revision and the content tell it.
fn is_same_state(incoming: Option<&AgentState>, stored: Option<&AgentState>) -> bool {
    match (incoming, stored) {
        (None, None) => true,
        (Some(incoming), Some(stored)) => {
            incoming.agent_id == stored.agent_id
                && incoming.revision == stored.revision
                && incoming.through_turn == stored.through_turn
                && incoming.agent_config == stored.agent_config
                && incoming.current_state == stored.current_state
        }
        _ => false,
    }
}
