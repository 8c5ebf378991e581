//! Making an agent again from what is stored, at one point in its conversation's history.

use std::sync::Arc;
use std::time::Duration;

use lcs_domain::agent::{Agent, AgentRuntime, StoredAgent};
use lcs_domain::{
    AgentId, Conversation, ConversationId, Entity, Head, PageLimit, Payload, Repositories, RepositoryError,
    Turn, TurnRange, UserId,
};

use super::AgentManagerError;

/// How often a conversation that changes while it is read is read again, before that is an error.
const MAX_READS: u32 = 10;
/// How many turns are read at once to catch up: a few, as each of them may be megabytes long.
const CATCH_UP: u32 = 20;

/// Waits before the next attempt at a conversation that others are busy with: longer each time.
pub(super) async fn pause(attempt: u32) {
    tokio::time::sleep(Duration::from_millis(1 << attempt.min(7))).await;
}

/// An agent made again, and the point in its conversation's history where it stands.
pub(super) struct Rehydrated {
    pub(super) agent: Box<dyn Agent>,
    pub(super) agent_id: AgentId,
    pub(super) agent_config: Payload,
    /// Whether the store has this configuration already.
    pub(super) config_stored: bool,
    /// Whether its state may take the place of what is stored.
    pub(super) keeps_state: bool,
    pub(super) turn_count: u32,
    pub(super) state_revision: u64,
    /// How many bytes the documents have that it was made from.
    pub(super) bytes: u64,
}

/// Makes agents again. One for each load.
pub(super) struct Rehydration {
    pub(super) repositories: Arc<dyn Repositories>,
    pub(super) runtime: Arc<dyn AgentRuntime>,
    pub(super) enabled: bool,
    pub(super) recent_turns: PageLimit,
}

impl Rehydration {
    /// The agent of this conversation, where it stopped; a new one where nothing is stored of it, or
    /// where rehydration is switched off.
    pub(super) async fn agent(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
    ) -> Result<Rehydrated, AgentManagerError> {
        for attempt in 0..MAX_READS {
            let conversation = self
                .repositories
                .conversations()
                .get(user_id, conversation_id)
                .await?
                .ok_or(RepositoryError::not_found(Entity::Conversation))?;
            if !self.enabled {
                // What is stored stays: this agent has never seen it.
                let made = self.made_anew(&conversation).await?;
                return Ok(Rehydrated { keeps_state: conversation.turn_count == 0, ..made });
            }
            let stored = self.stored(user_id, &conversation).await?;
            // State and turns were read one after the other: they belong together if nothing moved meanwhile.
            if self.is_still_at(user_id, &conversation).await? {
                return self.made_again(&conversation, stored).await;
            }
            pause(attempt).await;
        }
        let reason = "the conversation changes faster than it can be read: try again";
        Err(RepositoryError::Overloaded { reason: reason.to_owned() }.into())
    }

    async fn made_anew(&self, conversation: &Conversation) -> Result<Rehydrated, AgentManagerError> {
        let agent_config = self.runtime.configure(conversation)?;
        let agent = self.runtime.make(&agent_config).await?;
        Ok(standing_at(conversation, agent, agent_config, false))
    }

    async fn made_again(
        &self,
        conversation: &Conversation,
        stored: Option<(StoredAgent, bool)>,
    ) -> Result<Rehydrated, AgentManagerError> {
        let Some((stored, config_stored)) = stored else { return self.made_anew(conversation).await };
        let agent_config = stored.agent_config.clone();
        tracing::debug!(
            conversation_id = %conversation.conversation_id,
            turn_count = conversation.turn_count,
            missed_turns = stored.missed_turns.len(),
            "rehydrating the agent"
        );
        let bytes = bytes(&stored);
        let agent = self.runtime.rehydrate(stored).await?;
        Ok(Rehydrated { bytes, ..standing_at(conversation, agent, agent_config, config_stored) })
    }

    /// What is stored of the agent, and whether its configuration is; `None` where nothing is.
    async fn stored(
        &self,
        user_id: UserId,
        conversation: &Conversation,
    ) -> Result<Option<(StoredAgent, bool)>, AgentManagerError> {
        let conversation_id = conversation.conversation_id;
        let state = self.repositories.agent_states().get_by_conversation(user_id, conversation_id).await?;
        if state.is_none() && conversation.turn_count == 0 {
            return Ok(None);
        }
        let seen = state.as_ref().map_or(0, |state| state.through_turn);
        let missed_turns = self.turns_after(user_id, conversation_id, seen).await?;
        let recent_turns = self
            .repositories
            .turns()
            .page(user_id, conversation_id, TurnRange::Newest, self.recent_turns)
            .await?
            .ok_or(RepositoryError::not_found(Entity::Conversation))?
            .turns;
        let config_stored = state.is_some();
        let (agent_config, current_state) = match state {
            Some(state) => (state.agent_config, state.current_state),
            None => (self.runtime.configure(conversation)?, None),
        };
        Ok(Some((StoredAgent { agent_config, current_state, missed_turns, recent_turns }, config_stored)))
    }

    async fn turns_after(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        mut seen: u32,
    ) -> Result<Vec<Turn>, AgentManagerError> {
        let mut turns = Vec::new();
        let limit = PageLimit::new(CATCH_UP)?;
        loop {
            let page = self
                .repositories
                .turns()
                .page(user_id, conversation_id, TurnRange::After(seen), limit)
                .await?
                .ok_or(RepositoryError::not_found(Entity::Conversation))?;
            let more = page.has_later();
            seen = page.turns.last().map_or(seen, |turn| turn.turn_number);
            turns.extend(page.turns);
            if !more {
                return Ok(turns);
            }
        }
    }

    async fn is_still_at(
        &self,
        user_id: UserId,
        conversation: &Conversation,
    ) -> Result<bool, AgentManagerError> {
        let head: Option<Head> =
            self.repositories.conversations().head(user_id, conversation.conversation_id).await?;
        Ok(head.is_some_and(|head| {
            head.turn_count == conversation.turn_count && head.state_revision == conversation.state_revision
        }))
    }
}

fn bytes(stored: &StoredAgent) -> u64 {
    let turns = stored.missed_turns.iter().chain(&stored.recent_turns);
    let documents = turns.flat_map(|turn| turn.output_message.iter().chain([&turn.input_messages]));
    let documents = documents.chain(stored.current_state.iter()).chain([&stored.agent_config]);
    documents.map(|document| document.as_json().len() as u64).sum()
}

fn standing_at(
    conversation: &Conversation,
    agent: Box<dyn Agent>,
    agent_config: Payload,
    config_stored: bool,
) -> Rehydrated {
    let bytes = agent_config.as_json().len() as u64;
    Rehydrated {
        bytes,
        agent,
        agent_id: conversation.agent_id,
        agent_config,
        config_stored,
        keeps_state: true,
        turn_count: conversation.turn_count,
        state_revision: conversation.state_revision,
    }
}
