//! An agent's state: what it was configured with and what it remembers, one revision after the other.
//!
//! Revisions are counted by the conversation, not by the state's row: they go on rising when a state is
//! deleted and made anew, so that a revision never names two different states (P4, P5).

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{AgentId, ConversationId, Durability, Entity, Payload, RepositoryError, UserId};

/// An agent's state as a store holds it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AgentState {
    /// The agent.
    pub agent_id: AgentId,
    /// The conversation that it speaks in.
    pub conversation_id: ConversationId,
    /// Whose conversation that is.
    pub user_id: UserId,
    /// What the agent was configured with.
    pub agent_config: Payload,
    /// What the agent remembers; `None` where only its configuration was stored.
    pub current_state: Option<Payload>,
    /// When it was first stored, by the store's clock.
    pub created_at: DateTime<Utc>,
    /// When it was last stored, by the store's clock.
    pub updated_at: DateTime<Utc>,
    /// Its revision: made from the one before, or refused (P4).
    pub revision: u64,
    /// How many turns this state has seen: what came later is shown to the agent when it is made again.
    pub through_turn: u32,
    /// How durable what this answer speaks of is.
    pub durability: Durability,
}

/// The agent's state that goes with an appended turn.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentStateUpdate {
    /// The agent: the one that the conversation was made with.
    pub agent_id: AgentId,
    /// What the agent is configured with; `None`: as before, `{}` at first.
    pub agent_config: Option<Payload>,
    /// What the agent remembers after the turn.
    pub current_state: Payload,
    /// The revision that this state was made from; 0 where there was none.
    pub expected_revision: u64,
}

/// Stores an agent's state without a turn.
#[derive(Debug, Clone, PartialEq)]
pub struct SaveAgentState {
    /// The agent: the one that the conversation was made with.
    pub agent_id: AgentId,
    /// The conversation that it speaks in.
    pub conversation_id: ConversationId,
    /// What the agent is configured with; `None`: as before, `{}` at first.
    pub agent_config: Option<Payload>,
    /// What the agent remembers; `None`: nothing.
    pub current_state: Option<Payload>,
    /// The revision that this state was made from; 0 where there was none.
    pub expected_revision: u64,
    /// How many turns this state has seen: what came later is shown to the agent when it is made again
    /// (P5). Name the turns that the agent was given, not the conversation's count: a turn may be stored
    /// without a state between that and this save.
    pub through_turn: u32,
}

impl SaveAgentState {
    /// Refuses a state that has seen more than the `turn_count` turns that its conversation has.
    pub fn refuse_unknown_turns(&self, turn_count: u32) -> Result<(), RepositoryError> {
        if self.through_turn <= turn_count {
            return Ok(());
        }
        Err(RepositoryError::Conflict {
            entity: Entity::Conversation,
            expected: self.through_turn.into(),
            observed: turn_count.into(),
        })
    }
}

/// What a save came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Saved {
    /// The new revision.
    pub revision: u64,
    /// How durable it is.
    pub durability: Durability,
}
