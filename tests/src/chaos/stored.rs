//! A replica in this process, over a store of ours: what the seeded bugs are made of.

use std::sync::Arc;

use async_trait::async_trait;
use lcs_domain::{
    AgentId, AgentStateUpdate, AppendTurn, Clock as _, ConversationId, Durability, ListConversations,
    Metadata, NewConversation, NewTurn, PageLimit, Payload, Repositories, RepositoryError, SaveAgentState,
    SystemClock, Text, TurnId, TurnRange, UserId,
};
use serde_json::Value;

use super::history::{Element, Page, Placed, Seen};
use super::replica::{Append, Conversation, Refusal, Replica, Reply, element_of_state, state, turn};

/// A replica that does as its store does. What the store acknowledges counts as durable: it outlives the run.
pub struct Stored(Arc<dyn Repositories>);

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Stored").finish_non_exhaustive()
    }
}

impl Stored {
    /// A replica over `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Repositories>) -> Self {
        Self(store)
    }
}

/// The user of this number.
#[must_use]
pub fn user_id(user: u32) -> UserId {
    UserId::from_text(&format!("user-{user}"))
}

/// The conversation's id.
pub fn conversation_id(conversation: &Conversation) -> Result<ConversationId, Refusal> {
    conversation.id.parse().map_err(|_| Refusal::Wrong("no id".into()))
}

/// The agent's id.
pub fn agent_id(conversation: &Conversation) -> Result<AgentId, Refusal> {
    conversation.agent.parse().map_err(|_| Refusal::Wrong("no id".into()))
}

/// What a store's error says of whether it was done.
#[must_use]
pub fn refused(error: RepositoryError) -> Refusal {
    match error {
        RepositoryError::NotFound { .. } => Refusal::Absent,
        RepositoryError::Conflict { .. } => Refusal::Conflict,
        RepositoryError::OutcomeUnknown { .. } => Refusal::Unknown("outcome unknown".into()),
        error if error.is_retryable() => Refusal::NotDone("unavailable".into()),
        error => Refusal::Wrong(error.to_string()),
    }
}

fn payload(value: &Value) -> Result<Payload, Refusal> {
    Payload::parse(&value.to_string()).map_err(refused)
}

fn value(payload: &Payload) -> Value {
    serde_json::to_value(payload).unwrap_or_default()
}

/// The turn of an append, under this id.
pub fn new_turn(turn_id: TurnId, append: &Append) -> Result<NewTurn, Refusal> {
    let now = SystemClock.now();
    NewTurn::new(turn_id, payload(&append.content)?, None, now, now, Metadata::default()).map_err(refused)
}

#[async_trait]
impl Replica for Stored {
    async fn create(&self, user: u32, number: u64) -> Reply<Conversation> {
        let user_id = user_id(user);
        let mut new = NewConversation::begin(Text::name("chaos", "/model_id").map_err(refused)?);
        new.conversation_id = ConversationId::from_external_id(user_id, &number.to_string());
        new.agent_id = AgentId::from_uuid(*new.conversation_id.as_uuid());
        let made = self.0.conversations().create(user_id, new).await.map_err(refused)?;
        let (id, agent) = (made.conversation_id.to_string(), made.agent_id.to_string());
        Ok((Conversation { number, user, id, agent }, Durability::Durable))
    }

    async fn append(&self, conversation: &Conversation, append: &Append) -> Reply<Placed> {
        let user_id = user_id(conversation.user);
        let turn_id = TurnId::from_idempotency_key(user_id, &append.element.to_string());
        let agent_state = match append.state_from {
            None => None,
            Some(expected_revision) => Some(AgentStateUpdate {
                agent_id: agent_id(conversation)?,
                agent_config: None,
                current_state: payload(&state(append.element))?,
                expected_revision,
            }),
        };
        let append = AppendTurn {
            conversation_id: conversation_id(conversation)?,
            turn: new_turn(turn_id, append)?,
            expected_turn_count: None,
            agent_state,
        };
        let appended = self.0.turns().append(user_id, append).await.map_err(refused)?;
        Ok((Placed { turn: appended.turn_number, revision: appended.state_revision }, Durability::Durable))
    }

    async fn read(
        &self,
        user: u32,
        conversation: &Conversation,
        after: Option<u32>,
        limit: u32,
    ) -> Reply<Page> {
        let range = after.map_or(TurnRange::Newest, TurnRange::After);
        let of = PageLimit::new(limit).map_err(refused)?;
        let page = self.0.turns().page(user_id(user), conversation_id(conversation)?, range, of).await;
        let page = page.map_err(refused)?.ok_or(Refusal::Absent)?;
        let turns = page.turns.iter().map(|stored| turn(stored.turn_number, &value(&stored.input_messages)));
        let turns = turns.collect();
        Ok((Page { after, limit, turn_count: page.turn_count, turns }, Durability::Durable))
    }

    async fn state(&self, user: u32, conversation: &Conversation) -> Reply<Seen> {
        let (user_id, id) = (user_id(user), conversation_id(conversation)?);
        let stored = self.0.agent_states().get_by_conversation(user_id, id).await.map_err(refused)?;
        if stored.is_none() {
            // Behind it: that the conversation is deleted in between must not look like a state that is not there.
            let held = self.0.conversations().get(user_id, id).await.map_err(refused)?;
            held.ok_or(Refusal::Absent)?;
        }
        let seen = stored.map_or_else(Seen::default, |stored| Seen {
            revision: stored.revision,
            through_turn: stored.through_turn,
            element: stored
                .current_state
                .as_ref()
                .map(|state| element_of_state(&value(state)))
                .unwrap_or_default(),
        });
        Ok((seen, Durability::Durable))
    }

    async fn put(
        &self,
        conversation: &Conversation,
        element: Element,
        from: u64,
        through_turn: u32,
    ) -> Reply<u64> {
        let save = SaveAgentState {
            agent_id: agent_id(conversation)?,
            conversation_id: conversation_id(conversation)?,
            agent_config: None,
            current_state: Some(payload(&state(element))?),
            expected_revision: from,
            through_turn,
        };
        let saved = self.0.agent_states().save(user_id(conversation.user), save).await.map_err(refused)?;
        Ok((saved.revision, Durability::Durable))
    }

    async fn list(&self, user: u32) -> Reply<Vec<String>> {
        let mut ids = Vec::new();
        let mut next = ListConversations { limit: PageLimit::MAX, ..ListConversations::default() };
        loop {
            let page = self.0.conversations().list(user_id(user), next).await.map_err(refused)?;
            ids.extend(page.conversations.iter().map(|held| held.conversation_id.to_string()));
            match page.next {
                Some(cursor) => next.after = Some(cursor),
                None => return Ok((ids, Durability::Durable)),
            }
        }
    }

    async fn delete(&self, conversation: &Conversation) -> Reply<()> {
        let id = conversation_id(conversation)?;
        let deleted = self.0.conversations().delete(user_id(conversation.user), id).await;
        if deleted.map_err(refused)? { Ok(((), Durability::Durable)) } else { Err(Refusal::Absent) }
    }
}
