//! Agent states through the fallback.

#![deny(clippy::missing_trait_methods)]

use async_trait::async_trait;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AgentId, AgentState, AgentStateRepository, ConversationId, Durability, SaveAgentState, Saved, UserId,
};

use super::Fallback;
use super::journal::Line;
use super::outage::Outage;
use super::route::{Route, StandIn, Subject, WriteRoute};

#[async_trait]
impl AgentStateRepository for Fallback {
    async fn get(&self, user_id: UserId, agent_id: AgentId) -> RepositoryResult<Option<AgentState>> {
        match self.circuit.route(Subject::User(user_id)).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.agent_states().get(user_id, agent_id)).await
            }
            Route::Outage(outage) => {
                let (store, _) = outage.agent(user_id, agent_id)?;
                Ok(answered(&outage, store.agent_states().get(user_id, agent_id).await?))
            }
        }
    }

    async fn get_by_conversation(
        &self,
        user_id: UserId,
        id: ConversationId,
    ) -> RepositoryResult<Option<AgentState>> {
        match self.circuit.route(Subject::conversation(user_id, id)).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.agent_states().get_by_conversation(user_id, id)).await
            }
            Route::Outage(outage) => {
                let (store, _) = outage.conversation(user_id, id)?;
                Ok(answered(&outage, store.agent_states().get_by_conversation(user_id, id).await?))
            }
        }
    }

    async fn save(&self, user_id: UserId, save: SaveAgentState) -> RepositoryResult<Saved> {
        let id = save.conversation_id;
        let line = Line { user_id, conversation_id: id };
        match self.circuit.route_write(Subject::Conversation(line), line).await? {
            WriteRoute::Primary(epoch) => {
                self.watched(epoch, self.primary.agent_states().save(user_id, save)).await
            }
            WriteRoute::StandIn(StandIn::Journal(intake)) => intake.save(save).await,
            WriteRoute::StandIn(StandIn::Outage(outage)) => {
                let (store, volatile) = outage.conversation(user_id, id)?;
                let saved = store.agent_states().save(user_id, save).await?;
                volatile.note_saved(id);
                Ok(Saved { durability: Durability::Volatile, ..saved })
            }
        }
    }

    async fn delete(&self, user_id: UserId, agent_id: AgentId) -> RepositoryResult<bool> {
        match self.circuit.route(Subject::User(user_id)).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.agent_states().delete(user_id, agent_id)).await
            }
            Route::Outage(outage) => Err(outage.refusal("nothing can be deleted before, try again then")),
        }
    }
}

fn answered(outage: &Outage, state: Option<AgentState>) -> Option<AgentState> {
    state.map(|state| AgentState { durability: outage.durability(), ..state })
}
