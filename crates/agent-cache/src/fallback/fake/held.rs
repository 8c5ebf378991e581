//! What a fake store holds, and the ports' rules about it.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::turn::ContentHash;
use lcs_domain::{
    AgentState, AppendTurn, Appended, Conversation, ConversationId, ConversationStatus, ConversationUpdate,
    Durability, Entity, NewConversation, Payload, RepositoryError, SaveAgentState, Saved, Turn, UserId,
};

pub(super) type Tables = BTreeMap<ConversationId, Held>;

pub(super) struct Held {
    pub(super) conversation: Conversation,
    pub(super) turns: Vec<Turn>,
    pub(super) hashes: Vec<ContentHash>,
    pub(super) state: Option<AgentState>,
}

pub(super) fn own(held: &mut Tables, user_id: UserId, id: ConversationId) -> RepositoryResult<&mut Held> {
    let own = held.get_mut(&id).filter(|held| held.conversation.user_id == user_id);
    own.ok_or(RepositoryError::not_found(Entity::Conversation))
}

pub(super) fn create(
    held: &mut Tables,
    user_id: UserId,
    new: NewConversation,
) -> RepositoryResult<Conversation> {
    let existing = held.get(&new.conversation_id).map(|held| held.conversation.clone());
    if let Some(existing) = existing.filter(|existing| new.made(user_id, existing)) {
        return Ok(existing);
    }
    let is_same_external = |held: &Held| {
        held.conversation.user_id == user_id
            && new.external_id.is_some()
            && held.conversation.external_id == new.external_id
    };
    let is_used = held.contains_key(&new.conversation_id)
        || held.values().any(|held| held.conversation.agent_id == new.agent_id || is_same_external(held));
    if is_used {
        return Err(RepositoryError::AlreadyExists { entity: Entity::Conversation });
    }
    let conversation = Conversation {
        conversation_id: new.conversation_id,
        user_id,
        agent_id: new.agent_id,
        model_id: new.model_id,
        system_prompt: new.system_prompt,
        created_at: DateTime::<Utc>::UNIX_EPOCH,
        updated_at: DateTime::<Utc>::UNIX_EPOCH,
        status: ConversationStatus::Active,
        metadata: new.metadata,
        turn_count: 0,
        state_revision: 0,
        topic_summary: new.topic_summary,
        external_id: new.external_id,
        durability: Durability::Durable,
    };
    let (turns, hashes) = (Vec::new(), Vec::new());
    let fresh = Held { conversation: conversation.clone(), turns, hashes, state: None };
    held.insert(new.conversation_id, fresh);
    Ok(conversation)
}

pub(super) fn update(
    held: &mut Tables,
    user_id: UserId,
    id: ConversationId,
    update: ConversationUpdate,
) -> RepositoryResult<Conversation> {
    let conversation = &mut own(held, user_id, id)?.conversation;
    if update.is_empty() {
        return Ok(conversation.clone());
    }
    update.refuse_changed(conversation.updated_at)?;
    conversation.updated_at += Duration::from_secs(1);
    if let Some(topic_summary) = update.topic_summary {
        conversation.topic_summary = topic_summary;
    }
    if let Some(status) = update.status {
        conversation.status = status.into();
    }
    Ok(conversation.clone())
}

pub(super) fn append(held: &mut Tables, user_id: UserId, append: AppendTurn) -> RepositoryResult<Appended> {
    let AppendTurn { conversation_id, turn, expected_turn_count, agent_state } = append;
    let turn_id = turn.turn_id();
    let is_elsewhere = held.iter().any(|(id, held)| {
        *id != conversation_id && held.turns.iter().any(|stored| stored.turn_id == turn_id)
    });
    let held = own(held, user_id, conversation_id)?;
    if let Some(index) = held.turns.iter().position(|stored| stored.turn_id == turn_id) {
        if held.hashes[index] != *turn.content_hash() {
            return Err(RepositoryError::IdempotencyMismatch { turn_id });
        }
        return Ok(held.appended(held.turns[index].turn_number, true));
    }
    held.refuse_closed()?;
    if agent_state.as_ref().is_some_and(|state| state.agent_id != held.conversation.agent_id) {
        return Err(RepositoryError::not_found(Entity::AgentState));
    }
    let count = held.conversation.turn_count;
    refuse_other(Entity::Conversation, expected_turn_count.unwrap_or(count).into(), count.into())?;
    let revision = held.conversation.state_revision;
    let expected = agent_state.as_ref().map_or(revision, |state| state.expected_revision);
    refuse_other(Entity::AgentState, expected, revision)?;
    if is_elsewhere {
        return Err(RepositoryError::IdempotencyMismatch { turn_id });
    }
    held.conversation.turn_count += 1;
    held.hashes.push(*turn.content_hash());
    held.turns.push(Turn {
        turn_id,
        conversation_id,
        turn_number: held.conversation.turn_count,
        input_messages: turn.input_messages().clone(),
        output_message: turn.output_message().cloned(),
        started_at: turn.started_at(),
        completed_at: turn.completed_at(),
        metadata: turn.metadata().clone(),
    });
    if let Some(state) = agent_state {
        held.put(state.agent_config, Some(state.current_state), count + 1);
    }
    Ok(held.appended(count + 1, false))
}

pub(super) fn save(held: &mut Tables, user_id: UserId, save: SaveAgentState) -> RepositoryResult<Saved> {
    let held = own(held, user_id, save.conversation_id)?;
    held.refuse_closed()?;
    if save.agent_id != held.conversation.agent_id {
        return Err(RepositoryError::not_found(Entity::AgentState));
    }
    save.refuse_unknown_turns(held.conversation.turn_count)?;
    refuse_other(Entity::AgentState, save.expected_revision, held.conversation.state_revision)?;
    held.put(save.agent_config, save.current_state, save.through_turn);
    Ok(Saved { revision: held.conversation.state_revision, durability: Durability::Durable })
}

impl Held {
    fn appended(&self, turn_number: u32, replayed: bool) -> Appended {
        Appended {
            turn_number: Some(turn_number),
            state_revision: self.conversation.state_revision,
            replayed,
            durability: Durability::Durable,
        }
    }

    fn refuse_closed(&self) -> RepositoryResult<()> {
        match self.conversation.status {
            ConversationStatus::Active => Ok(()),
            _ => Err(RepositoryError::Closed { entity: Entity::Conversation }),
        }
    }

    fn put(&mut self, config: Option<Payload>, current: Option<Payload>, through_turn: u32) {
        self.conversation.state_revision += 1;
        self.state = Some(AgentState {
            agent_id: self.conversation.agent_id,
            conversation_id: self.conversation.conversation_id,
            user_id: self.conversation.user_id,
            agent_config: config.unwrap_or_else(|| Payload::parse("{}").unwrap()),
            current_state: current,
            created_at: DateTime::<Utc>::UNIX_EPOCH,
            updated_at: DateTime::<Utc>::UNIX_EPOCH,
            revision: self.conversation.state_revision,
            through_turn,
            durability: Durability::Durable,
        });
    }
}

fn refuse_other(entity: Entity, expected: u64, observed: u64) -> RepositoryResult<()> {
    if expected == observed {
        return Ok(());
    }
    Err(RepositoryError::Conflict { entity, expected, observed })
}
