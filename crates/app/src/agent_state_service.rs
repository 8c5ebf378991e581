//! Agent states, revision by revision, for hosts that keep their own agents.

use std::sync::Arc;

use lcs_domain::repository::RepositoryResult;
use lcs_domain::{AgentId, AgentState, ConversationId, Repositories, SaveAgentState, Saved, UserId};

/// The states of the agents in a user's conversations, in the configured store.
///
/// Each method has the promises and errors of
/// [`AgentStateRepository`](lcs_domain::AgentStateRepository).
#[derive(Clone)]
pub struct AgentStatePersistenceService {
    repositories: Arc<dyn Repositories>,
}

impl std::fmt::Debug for AgentStatePersistenceService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentStatePersistenceService").finish_non_exhaustive()
    }
}

impl AgentStatePersistenceService {
    pub(crate) fn new(repositories: Arc<dyn Repositories>) -> Self {
        Self { repositories }
    }

    /// The agent's state, unless there is none or its conversation is absent, foreign or deleted.
    pub async fn get_agent_state(
        &self,
        user_id: UserId,
        agent_id: AgentId,
    ) -> RepositoryResult<Option<AgentState>> {
        self.repositories.agent_states().get(user_id, agent_id).await
    }

    /// The state of the agent that speaks in this conversation.
    pub async fn get_by_conversation(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
    ) -> RepositoryResult<Option<AgentState>> {
        self.repositories.agent_states().get_by_conversation(user_id, conversation_id).await
    }

    /// Stores the state made from the expected revision as the next one, or refuses with a conflict.
    pub async fn save_agent_state(&self, user_id: UserId, save: SaveAgentState) -> RepositoryResult<Saved> {
        self.repositories.agent_states().save(user_id, save).await
    }

    /// Deletes the agent's state; `false` where there is none.
    pub async fn delete_agent_state(&self, user_id: UserId, agent_id: AgentId) -> RepositoryResult<bool> {
        self.repositories.agent_states().delete(user_id, agent_id).await
    }
}
