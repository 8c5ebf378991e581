//! A small store for the fallback's tests, whose answers can be spoilt and held back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use lcs_domain::diagnostic::Finding;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AgentId, AgentState, AgentStateRepository, AppendTurn, Appended, BeginRequest, Begun, Capabilities,
    Conversation, ConversationId, ConversationPage, ConversationRepository, ConversationStatus,
    ConversationSummary, ConversationUpdate, DiagnosticRepository, Durability, Entity, Head, Interruption,
    ListConversations, ListSummaries, NewConversation, NewTurn, PageLimit, PoolStatus, PurgeReport,
    Repositories, RepositoryError, RequestId, RequestRepository, RequestTarget, RetentionPolicy,
    RetentionRepository, SaveAgentState, Saved, Turn, TurnId, TurnPage, TurnRange, TurnRepository, UserId,
};
use tokio::sync::Semaphore;

/// Says `durable` of everything, so that a test sees who says otherwise.
#[derive(Default)]
pub(super) struct Fake {
    pub(super) calls: AtomicU64,
    pub(super) pings: AtomicU64,
    fault: Mutex<Option<fn() -> RepositoryError>>,
    gate: Mutex<Option<Arc<Semaphore>>>,
    held: Mutex<HashMap<ConversationId, Held>>,
}

struct Held {
    conversation: Conversation,
    turns: Vec<Turn>,
    state: Option<AgentState>,
}

pub(super) fn unavailable() -> RepositoryError {
    RepositoryError::unavailable("connection refused")
}

pub(super) fn outcome_unknown() -> RepositoryError {
    RepositoryError::OutcomeUnknown { key: "the key".to_owned() }
}

impl Fake {
    /// From now on every call fails so; `None`: none does.
    pub(super) fn fail_with(&self, fault: Option<fn() -> RepositoryError>) {
        *self.fault.lock().unwrap() = fault;
    }

    /// From now on calls wait until the gate is given permits.
    pub(super) fn shut(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.gate.lock().unwrap() = Some(Arc::clone(&gate));
        gate
    }

    /// From now on calls wait no more; those that wait already go on waiting.
    pub(super) fn unshut(&self) {
        *self.gate.lock().unwrap() = None;
    }

    pub(super) fn called(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    pub(super) fn pinged(&self) -> u64 {
        self.pings.load(Ordering::SeqCst)
    }

    /// How many conversations and turns it holds.
    pub(super) fn counted(&self) -> (u64, u64) {
        let held = self.held.lock().unwrap();
        (held.len() as u64, held.values().map(|held| held.turns.len() as u64).sum())
    }

    async fn answer(&self) -> RepositoryResult<()> {
        let fault = *self.fault.lock().unwrap();
        let gate = self.gate.lock().unwrap().clone();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        fault.map_or(Ok(()), |fault| Err(fault()))
    }

    async fn enter(&self) -> RepositoryResult<MutexGuard<'_, HashMap<ConversationId, Held>>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.answer().await?;
        Ok(self.held.lock().unwrap())
    }
}

fn own(
    held: &mut HashMap<ConversationId, Held>,
    user_id: UserId,
    id: ConversationId,
) -> RepositoryResult<&mut Held> {
    let own = held.get_mut(&id).filter(|held| held.conversation.user_id == user_id);
    own.ok_or(RepositoryError::not_found(Entity::Conversation))
}

#[async_trait]
impl ConversationRepository for Fake {
    async fn create(&self, user_id: UserId, new: NewConversation) -> RepositoryResult<Conversation> {
        let mut held = self.enter().await?;
        if let Some(existing) = held.get(&new.conversation_id) {
            let existing = existing.conversation.clone();
            let again = new.made(user_id, &existing).then_some(existing);
            return again.ok_or(RepositoryError::AlreadyExists { entity: Entity::Conversation });
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
        let fresh = Held { conversation: conversation.clone(), turns: Vec::new(), state: None };
        held.insert(new.conversation_id, fresh);
        Ok(conversation)
    }

    /// Without its turns.
    async fn adopt(
        &self,
        user_id: UserId,
        new: NewConversation,
        _: Vec<NewTurn>,
    ) -> RepositoryResult<Conversation> {
        ConversationRepository::create(self, user_id, new).await
    }

    async fn was_deleted(&self, user_id: UserId, id: ConversationId) -> RepositoryResult<bool> {
        let held = self.enter().await?;
        Ok(held.get(&id).is_some_and(|held| {
            held.conversation.user_id == user_id && held.conversation.status == ConversationStatus::Deleted
        }))
    }

    async fn get(&self, user_id: UserId, id: ConversationId) -> RepositoryResult<Option<Conversation>> {
        Ok(own(&mut *self.enter().await?, user_id, id).ok().map(|held| held.conversation.clone()))
    }

    async fn head(&self, user_id: UserId, id: ConversationId) -> RepositoryResult<Option<Head>> {
        Ok(own(&mut *self.enter().await?, user_id, id).ok().map(|held| Head {
            turn_count: held.conversation.turn_count,
            state_revision: held.conversation.state_revision,
            status: held.conversation.status,
            durability: Durability::Durable,
        }))
    }

    async fn list(&self, user_id: UserId, list: ListConversations) -> RepositoryResult<ConversationPage> {
        let held = self.enter().await?;
        let own = held.values().filter(|held| held.conversation.user_id == user_id);
        let conversations = own.map(|held| held.conversation.clone()).collect();
        Ok(ConversationPage::cut(conversations, list.limit, Durability::Durable))
    }

    /// One item where it is to fail, none else.
    fn summaries(
        &self,
        _: UserId,
        _: ListSummaries,
    ) -> BoxStream<'static, RepositoryResult<ConversationSummary>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let fault = *self.fault.lock().unwrap();
        stream::iter(fault.map(|fault| Err(fault()))).boxed()
    }

    async fn update(
        &self,
        user_id: UserId,
        id: ConversationId,
        update: ConversationUpdate,
    ) -> RepositoryResult<Conversation> {
        let mut held = self.enter().await?;
        let held = own(&mut held, user_id, id)?;
        held.conversation.topic_summary = update.topic_summary.flatten();
        Ok(held.conversation.clone())
    }

    async fn delete(&self, user_id: UserId, id: ConversationId) -> RepositoryResult<bool> {
        let mut held = self.enter().await?;
        let is_own = own(&mut held, user_id, id).is_ok();
        Ok(is_own && held.remove(&id).is_some())
    }
}

#[async_trait]
impl TurnRepository for Fake {
    async fn append(&self, user_id: UserId, append: AppendTurn) -> RepositoryResult<Appended> {
        let mut held = self.enter().await?;
        let held = own(&mut held, user_id, append.conversation_id)?;
        let before = held.turns.iter().find(|turn| turn.turn_id == append.turn.turn_id());
        let replayed = before.map(|turn| turn.turn_number);
        if replayed.is_none() {
            held.conversation.turn_count += 1;
            held.turns.push(Turn {
                turn_id: append.turn.turn_id(),
                conversation_id: append.conversation_id,
                turn_number: held.conversation.turn_count,
                input_messages: append.turn.input_messages().clone(),
                output_message: append.turn.output_message().cloned(),
                started_at: append.turn.started_at(),
                completed_at: append.turn.completed_at(),
                metadata: append.turn.metadata().clone(),
            });
            held.conversation.state_revision += u64::from(append.agent_state.is_some());
        }
        Ok(Appended {
            turn_number: Some(replayed.unwrap_or(held.conversation.turn_count)),
            state_revision: held.conversation.state_revision,
            replayed: replayed.is_some(),
            durability: Durability::Durable,
        })
    }

    async fn get(
        &self,
        user_id: UserId,
        id: ConversationId,
        turn_id: TurnId,
    ) -> RepositoryResult<Option<Turn>> {
        let mut held = self.enter().await?;
        let own = own(&mut held, user_id, id).ok();
        Ok(own.and_then(|held| held.turns.iter().find(|turn| turn.turn_id == turn_id).cloned()))
    }

    async fn page(
        &self,
        user_id: UserId,
        id: ConversationId,
        _: TurnRange,
        _: PageLimit,
    ) -> RepositoryResult<Option<TurnPage>> {
        Ok(own(&mut *self.enter().await?, user_id, id).ok().map(|held| TurnPage {
            turns: held.turns.clone(),
            turn_count: held.conversation.turn_count,
            durability: Durability::Durable,
        }))
    }
}

#[async_trait]
impl AgentStateRepository for Fake {
    async fn get(&self, user_id: UserId, agent_id: AgentId) -> RepositoryResult<Option<AgentState>> {
        let held = self.enter().await?;
        let states = held.values().filter_map(|held| held.state.clone());
        Ok(states.into_iter().find(|state| state.agent_id == agent_id && state.user_id == user_id))
    }

    async fn get_by_conversation(
        &self,
        user_id: UserId,
        id: ConversationId,
    ) -> RepositoryResult<Option<AgentState>> {
        Ok(own(&mut *self.enter().await?, user_id, id).ok().and_then(|held| held.state.clone()))
    }

    async fn save(&self, user_id: UserId, save: SaveAgentState) -> RepositoryResult<Saved> {
        let mut held = self.enter().await?;
        let held = own(&mut held, user_id, save.conversation_id)?;
        held.conversation.state_revision += 1;
        let revision = held.conversation.state_revision;
        held.state = Some(AgentState {
            agent_id: save.agent_id,
            conversation_id: save.conversation_id,
            user_id,
            agent_config: save.agent_config.unwrap(),
            current_state: save.current_state,
            created_at: DateTime::<Utc>::UNIX_EPOCH,
            updated_at: DateTime::<Utc>::UNIX_EPOCH,
            revision,
            through_turn: save.through_turn,
            durability: Durability::Durable,
        });
        Ok(Saved { revision, durability: Durability::Durable })
    }

    async fn delete(&self, user_id: UserId, agent_id: AgentId) -> RepositoryResult<bool> {
        let mut held = self.enter().await?;
        let own = held
            .values_mut()
            .find(|held| held.conversation.user_id == user_id && held.conversation.agent_id == agent_id);
        Ok(own.and_then(|held| held.state.take()).is_some())
    }
}

#[async_trait]
impl RequestRepository for Fake {
    async fn begin(&self, _: UserId, begin: BeginRequest) -> RepositoryResult<Begun> {
        let target = RequestTarget { conversation_id: begin.conversation_id, turn_id: begin.turn_id };
        self.enter().await.map(|_| Begun::Started(target))
    }

    async fn renew(&self, _: &[(UserId, RequestId)], _: Duration) -> RepositoryResult<Vec<RequestId>> {
        self.enter().await.map(|_| Vec::new())
    }

    async fn finish(&self, _: UserId, _: RequestId) -> RepositoryResult<()> {
        self.enter().await.map(drop)
    }

    async fn abandon(&self, _: UserId, _: RequestId) -> RepositoryResult<()> {
        self.enter().await.map(drop)
    }

    /// It knows none.
    async fn interrupt(&self, _: UserId, _: RequestId) -> RepositoryResult<Option<Interruption>> {
        self.enter().await.map(|_| None)
    }
}

#[async_trait]
impl RetentionRepository for Fake {
    async fn count_due(&self, _: RetentionPolicy) -> RepositoryResult<u64> {
        self.enter().await.map(|_| 0)
    }

    async fn purge_batch(&self, _: RetentionPolicy, _: PageLimit) -> RepositoryResult<PurgeReport> {
        self.enter().await.map(|_| PurgeReport::default())
    }

    async fn purge_requests(&self, _: PageLimit) -> RepositoryResult<u64> {
        self.enter().await.map(|_| 0)
    }
}

#[async_trait]
impl DiagnosticRepository for Fake {
    async fn diagnose(&self) -> RepositoryResult<Vec<Finding>> {
        Ok(vec![Finding::ok("schema", "of the fake")])
    }
}

#[async_trait]
impl Repositories for Fake {
    fn conversations(&self) -> &dyn ConversationRepository {
        self
    }

    fn turns(&self) -> &dyn TurnRepository {
        self
    }

    fn agent_states(&self) -> &dyn AgentStateRepository {
        self
    }

    fn requests(&self) -> &dyn RequestRepository {
        self
    }

    fn retention(&self) -> &dyn RetentionRepository {
        self
    }

    fn diagnostics(&self) -> &dyn DiagnosticRepository {
        self
    }

    async fn ping(&self) -> RepositoryResult<()> {
        self.pings.fetch_add(1, Ordering::SeqCst);
        self.answer().await
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { backend: "fake", durability: Durability::Durable, shared: true }
    }

    fn pool_status(&self) -> Option<PoolStatus> {
        None
    }
}
