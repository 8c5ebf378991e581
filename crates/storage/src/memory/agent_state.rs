//! Agent states in memory.

use async_trait::async_trait;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AgentId, AgentState, AgentStateRepository, ConversationId, Durability, SaveAgentState, Saved, UserId,
};

use super::Memory;

#[async_trait]
impl AgentStateRepository for Memory {
    #[tracing::instrument(name = "db.agent_state.get", skip_all, fields(%agent_id))]
    async fn get(&self, user_id: UserId, agent_id: AgentId) -> RepositoryResult<Option<AgentState>> {
        let tables = self.tables();
        let conversation_id = tables.agents.get(&agent_id);
        Ok(conversation_id.and_then(|id| tables.open(user_id, *id)).and_then(|row| row.state.clone()))
    }

    #[tracing::instrument(name = "db.agent_state.get_by_conversation", skip_all, fields(%conversation_id))]
    async fn get_by_conversation(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
    ) -> RepositoryResult<Option<AgentState>> {
        Ok(self.tables().open(user_id, conversation_id).and_then(|row| row.state.clone()))
    }

    #[tracing::instrument(
        name = "db.agent_state.save",
        skip_all,
        fields(conversation_id = %save.conversation_id, agent_id = %save.agent_id)
    )]
    async fn save(&self, user_id: UserId, save: SaveAgentState) -> RepositoryResult<Saved> {
        let now = self.clock.now();
        let mut tables = self.tables();
        let row = tables.open_mut(user_id, save.conversation_id)?;
        row.refuse_closed()?;
        row.refuse_other_agent(save.agent_id)?;
        save.refuse_unknown_turns(row.conversation.turn_count)?;
        row.refuse_other_revision(save.expected_revision)?;
        row.touch(now);
        row.put_state(save.agent_config, save.current_state, save.through_turn, now);
        Ok(Saved { revision: row.conversation.state_revision, durability: Durability::Volatile })
    }

    #[tracing::instrument(name = "db.agent_state.delete", skip_all, fields(%agent_id))]
    async fn delete(&self, user_id: UserId, agent_id: AgentId) -> RepositoryResult<bool> {
        let now = self.clock.now();
        let mut tables = self.tables();
        let Some(conversation_id) = tables.agents.get(&agent_id).copied() else {
            return Ok(false);
        };
        let Ok(row) = tables.open_mut(user_id, conversation_id) else {
            return Ok(false);
        };
        if row.state.take().is_none() {
            return Ok(false);
        }
        row.touch(now);
        row.conversation.state_revision += 1;
        Ok(true)
    }
}
