//! A small store for the fallback's tests, whose answers can be spoilt and held back.

mod archive;
mod browse;
mod erasure;
mod fuse;
mod held;
mod journal;
mod operator;
mod transfer;

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use lcs_domain::diagnostic::Finding;
use lcs_domain::erasure::ErasedConversation;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AgentId, AgentState, AgentStateRepository, AnalyticsRepository, AppendTurn, Appended, ArchiveRepository,
    AuditRepository, BeginRequest, Begun, BrowseRepository, Capabilities, Conversation, ConversationId,
    ConversationPage, ConversationRepository, ConversationStatus, ConversationSummary, ConversationUpdate,
    DiagnosticRepository, Durability, ErasureRepository, Head, HoldRepository, Interruption, Keeping,
    ListConversations, ListSummaries, NewConversation, NewTurn, PageLimit, PoolStatus, PurgeReport,
    Repositories, RepositoryError, RequestId, RequestRepository, RequestTarget, RetentionOverrideRepository,
    RetentionPolicy, RetentionRepository, SaveAgentState, Saved, SearchConversations, TransferRepository,
    Turn, TurnId, TurnPage, TurnRange, TurnRepository, UserId,
};
use tokio::sync::Semaphore;

use self::held::{Tables, own};

pub(super) use self::fuse::{Blow, Fuse};
pub(super) use self::journal::FakeJournal;

/// How a call fails.
type Failure = fn() -> RepositoryError;

/// Says `durable` of everything, so that a test sees who says otherwise.
#[derive(Default)]
pub(super) struct Fake {
    pub(super) calls: AtomicU64,
    pub(super) pings: AtomicU64,
    fault: Mutex<Option<Failure>>,
    /// Whether no connection can be made; each look at the pool is one more failure.
    pub(super) unreachable: AtomicBool,
    looks: AtomicU64,
    refusal: Mutex<Option<Failure>>,
    poison: Mutex<Option<(ConversationId, Failure)>>,
    gate: Mutex<Option<Arc<Semaphore>>>,
    fuse: Arc<Fuse>,
    held: Mutex<Tables>,
    /// What is said to be erased.
    erased: Mutex<Vec<ErasedConversation>>,
}

pub(super) fn unavailable() -> RepositoryError {
    RepositoryError::unavailable("connection refused")
}

pub(super) fn outcome_unknown() -> RepositoryError {
    RepositoryError::OutcomeUnknown { key: "the key".to_owned() }
}

impl Fake {
    /// One whose steps are counted by `fuse`.
    pub(super) fn with_fuse(fuse: Arc<Fuse>) -> Self {
        Self { fuse, ..Self::default() }
    }

    /// From now on every call fails so; `None`: none does.
    pub(super) fn fail_with(&self, fault: Option<fn() -> RepositoryError>) {
        *self.fault.lock().unwrap() = fault;
    }

    /// From now on every call but a ping is refused so; `None`: none is.
    pub(super) fn refuse_with(&self, refusal: Option<fn() -> RepositoryError>) {
        *self.refusal.lock().unwrap() = refusal;
    }

    /// From now on what is appended to this conversation is refused so.
    pub(super) fn poison(&self, id: ConversationId, refusal: fn() -> RepositoryError) {
        *self.poison.lock().unwrap() = Some((id, refusal));
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

    async fn enter(&self) -> RepositoryResult<MutexGuard<'_, Tables>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.answer().await?;
        let refusal = *self.refusal.lock().unwrap();
        refusal.map_or(Ok(()), |refusal| Err(refusal()))?;
        self.fuse.before().await?;
        Ok(self.held.lock().unwrap())
    }

    /// A write: all of it or nothing, and then the answer may be lost.
    async fn write<T>(&self, write: impl FnOnce(&mut Tables) -> RepositoryResult<T>) -> RepositoryResult<T> {
        let written = write(&mut *self.enter().await?);
        self.fuse.behind().await?;
        written
    }

    /// Makes a conversation whatever becomes of calls.
    pub(super) fn create_now(&self, user_id: UserId, new: NewConversation) -> Conversation {
        held::create(&mut self.held.lock().unwrap(), user_id, new).unwrap()
    }

    /// Changes a conversation whatever becomes of calls.
    pub(super) fn update_now(&self, user_id: UserId, id: ConversationId, update: ConversationUpdate) {
        held::update(&mut self.held.lock().unwrap(), user_id, id, update).unwrap();
    }

    /// What it holds of turns and states, in words to compare.
    pub(super) fn described(&self) -> Vec<String> {
        let held = self.held.lock().unwrap();
        let words = held.values().map(|held| {
            let Conversation { conversation_id, status, topic_summary, .. } = &held.conversation;
            let turns = held
                .turns
                .iter()
                .map(|turn| format!("{}:{} {}", turn.turn_number, turn.turn_id, turn.metadata.as_json()));
            let state = held.state.as_ref().map(|state| {
                (
                    state.revision,
                    state.through_turn,
                    state.current_state.as_ref().map(|json| json.as_json().to_owned()),
                )
            });
            format!("{conversation_id} {status} {topic_summary:?} {:?} {state:?}", turns.collect::<Vec<_>>())
        });
        words.collect()
    }

    /// The turns of a conversation: which, and how they are marked.
    pub(super) fn turns_of(&self, id: ConversationId) -> Vec<Turn> {
        self.held.lock().unwrap().get(&id).map(|held| held.turns.clone()).unwrap_or_default()
    }
}

#[async_trait]
impl ConversationRepository for Fake {
    async fn create(&self, user_id: UserId, new: NewConversation) -> RepositoryResult<Conversation> {
        self.write(|held| held::create(held, user_id, new)).await
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

    async fn search(&self, _: UserId, _: SearchConversations) -> RepositoryResult<Vec<ConversationSummary>> {
        drop(self.enter().await?);
        Ok(Vec::new())
    }

    async fn update(
        &self,
        user_id: UserId,
        id: ConversationId,
        update: ConversationUpdate,
    ) -> RepositoryResult<Conversation> {
        self.write(|held| held::update(held, user_id, id, update)).await
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
        let poison = *self.poison.lock().unwrap();
        if let Some((id, refusal)) = poison
            && id == append.conversation_id
        {
            drop(self.enter().await?);
            return Err(refusal());
        }
        self.write(|held| held::append(held, user_id, append)).await
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
        self.write(|held| held::save(held, user_id, save)).await
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

    async fn count_held(&self, _: RetentionPolicy) -> RepositoryResult<u64> {
        self.enter().await.map(|_| 0)
    }

    async fn keeping(&self, _: UserId, _: Vec<ConversationId>) -> RepositoryResult<Keeping> {
        self.enter().await.map(|_| Keeping::default())
    }

    async fn purge_batch(&self, _: RetentionPolicy, _: PageLimit) -> RepositoryResult<PurgeReport> {
        self.enter().await.map(|_| PurgeReport::default())
    }

    async fn take_turn(&self, _: u32, _: NonZeroU32) -> RepositoryResult<Duration> {
        self.enter().await.map(|_| Duration::ZERO)
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

    fn retention_overrides(&self) -> &dyn RetentionOverrideRepository {
        self
    }

    fn holds(&self) -> &dyn HoldRepository {
        self
    }

    fn erasures(&self) -> &dyn ErasureRepository {
        self
    }

    fn audit(&self) -> &dyn AuditRepository {
        self
    }

    fn browse(&self) -> &dyn BrowseRepository {
        self
    }

    fn transfers(&self) -> &dyn TransferRepository {
        self
    }

    fn archives(&self) -> &dyn ArchiveRepository {
        self
    }

    fn diagnostics(&self) -> &dyn DiagnosticRepository {
        self
    }

    fn analytics(&self) -> &dyn AnalyticsRepository {
        self
    }

    async fn ping(&self) -> RepositoryResult<()> {
        self.pings.fetch_add(1, Ordering::SeqCst);
        self.answer().await?;
        self.fuse.before().await
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { backend: "fake", durability: Durability::Durable, shared: true }
    }

    fn pool_status(&self) -> Option<PoolStatus> {
        let connects_failed = self.looks.fetch_add(1, Ordering::SeqCst);
        let status = PoolStatus { connects_failed, ..PoolStatus::default() };
        self.unreachable.load(Ordering::SeqCst).then_some(status)
    }
}
