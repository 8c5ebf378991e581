//! The port for agent states.

use async_trait::async_trait;

use super::RepositoryResult;
use crate::{AgentId, AgentState, ConversationId, SaveAgentState, Saved, UserId};

/// The states of the agents in a user's conversations.
#[async_trait]
pub trait AgentStateRepository: Send + Sync {
    /// The agent's state, unless there is none or its conversation is absent, foreign or deleted.
    async fn get(&self, user_id: UserId, agent_id: AgentId) -> RepositoryResult<Option<AgentState>>;

    /// The state of the agent that speaks in this conversation; `None` as in [`get`](Self::get).
    async fn get_by_conversation(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
    ) -> RepositoryResult<Option<AgentState>>;

    /// Stores a state made from the expected revision, as the next one (P4).
    ///
    /// # Errors
    /// In this order: `NotFound { Conversation }` where it is absent, foreign or deleted; `Closed` where
    /// it is archived; `NotFound { AgentState }` where the agent is not the conversation's own;
    /// `Conflict { Conversation }` where the state has seen more turns than there are;
    /// `Conflict { AgentState }` where the revision is another.
    async fn save(&self, user_id: UserId, save: SaveAgentState) -> RepositoryResult<Saved>;

    /// Deletes the agent's state; the conversation's revision rises, so that nobody takes what is
    /// stored next for what was. `false` where [`get`](Self::get) gives `None`.
    async fn delete(&self, user_id: UserId, agent_id: AgentId) -> RepositoryResult<bool>;
}
