//! The store in this process's memory: the reference model of the ports, and what stands in for a
//! database that is away.
//!
//! It does what the ports promise in the plainest way there is: one lock over plain maps. What the other
//! stores do is compared with what it does (`conformance`). It is volatile, and says so in every answer.

mod agent_state;
mod analytics;
mod archive;
mod audit;
mod browse;
mod conversation;
mod diagnostic;
mod erasure;
mod hold;
mod request;
mod retention;
mod retention_override;
mod transfer;
mod turn;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::request::RequestHash;
use lcs_domain::turn::ContentHash;
use lcs_domain::{
    AgentId, AgentState, AgentStateRepository, AnalyticsRepository, Archive, ArchiveId, ArchiveRepository,
    AuditRecord, AuditRepository, BrowseRepository, Capabilities, Clock, Conversation, ConversationId,
    ConversationRepository, ConversationStatus, DiagnosticRepository, Durability, Entity, Erasure,
    ErasureRepository, HoldRepository, Payload, PoolStatus, PurgeReason, Repositories, RepositoryError,
    RequestId, RequestRepository, RequestTarget, RetentionOverrideRepository, RetentionRepository,
    TransferRepository, Turn, TurnId, TurnRepository, UserId,
};
use lcs_domain::{Hold, HoldId, RetentionOverride};

/// A store that ends with this value. A fresh one costs nothing to make.
#[derive(Debug)]
pub struct Memory {
    clock: Arc<dyn Clock>,
    tables: Mutex<Tables>,
}

/// Everything that is stored, changed under one lock: a method is a transaction.
#[derive(Debug, Default)]
struct Tables {
    conversations: HashMap<ConversationId, Row>,
    /// Whose agent an id is.
    agents: HashMap<AgentId, ConversationId>,
    /// Where the turn of an id stands.
    turns: HashMap<TurnId, ConversationId>,
    /// What is left of the conversations that were purged.
    tombstones: HashMap<ConversationId, Tombstone>,
    archives: BTreeMap<ArchiveId, Archive>,
    /// Until when conversations that came back from an archive are kept.
    restorations: HashMap<ConversationId, DateTime<Utc>>,
    requests: HashMap<RequestId, Request>,
    /// The request that a user's key names.
    keys: HashMap<(UserId, String), RequestId>,
    /// The audit log, in its order.
    audit: Vec<AuditRecord>,
    holds: BTreeMap<HoldId, Hold>,
    overrides: BTreeMap<UserId, RetentionOverride>,
    /// When the next batch of retention may go that keeps a pace.
    next_purge: Option<DateTime<Utc>>,
    /// The erasures, in the order in which they were begun.
    erasures: Vec<Erasure>,
    /// How often something was erased.
    erased: u64,
}

/// A conversation with all that belongs to it.
#[derive(Debug)]
struct Row {
    conversation: Conversation,
    turns: Vec<StoredTurn>,
    state: Option<AgentState>,
}

/// What is left of a purged conversation: nothing to know its user by.
#[derive(Debug, Clone, Copy)]
struct Tombstone {
    user_hash: [u8; 32],
    reason: PurgeReason,
    archive_id: Option<ArchiveId>,
    at: DateTime<Utc>,
}

/// A request that is being answered, or was answered under a key.
#[derive(Debug)]
struct Request {
    user_id: UserId,
    idempotency_key: Option<String>,
    hash: RequestHash,
    target: RequestTarget,
    /// `None`: it is answered.
    lease_until: Option<DateTime<Utc>>,
    is_interrupted: bool,
}

#[derive(Debug)]
struct StoredTurn {
    turn: Turn,
    content_hash: ContentHash,
}

impl Memory {
    /// An empty store whose times are those of `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, tables: Mutex::default() }
    }

    /// Moves the time of a conversation's last change back, as if it had been idle `by` longer.
    ///
    /// For tests: no port does this.
    #[cfg(any(test, feature = "conformance"))]
    pub fn age(&self, conversation_id: ConversationId, by: std::time::Duration) {
        if let Some(row) = self.tables().conversations.get_mut(&conversation_id) {
            row.conversation.updated_at -= by;
        }
    }

    /// Moves the end of a request's lease back, as if it had ended `by` earlier. For tests, as [`age`](Self::age).
    #[cfg(any(test, feature = "conformance"))]
    pub fn age_request(&self, request_id: RequestId, by: std::time::Duration) {
        if let Some(request) = self.tables().requests.get_mut(&request_id) {
            request.lease_until = request.lease_until.map(|lease_until| lease_until - by);
        }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // Nothing in here panics half way through a change, so a poisoned lock guards whole rows.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    /// The user's conversation, unless it is absent, foreign or deleted: the one place that decides (P6, P9).
    fn open(&self, user_id: UserId, conversation_id: ConversationId) -> Option<&Row> {
        self.conversations.get(&conversation_id).filter(|row| row.is_open_to(user_id))
    }

    fn open_mut(&mut self, user_id: UserId, conversation_id: ConversationId) -> RepositoryResult<&mut Row> {
        self.conversations
            .get_mut(&conversation_id)
            .filter(|row| row.is_open_to(user_id))
            .ok_or(RepositoryError::not_found(Entity::Conversation))
    }
}

impl Row {
    fn is_open_to(&self, user_id: UserId) -> bool {
        self.conversation.user_id == user_id && self.conversation.status != ConversationStatus::Deleted
    }

    /// Counts as activity. Time never runs backwards, even where the clock does.
    fn touch(&mut self, now: DateTime<Utc>) {
        self.conversation.updated_at = self.conversation.updated_at.max(now);
    }

    fn refuse_closed(&self) -> RepositoryResult<()> {
        match self.conversation.status {
            ConversationStatus::Active => Ok(()),
            _ => Err(RepositoryError::Closed { entity: Entity::Conversation }),
        }
    }

    fn refuse_other_agent(&self, agent_id: AgentId) -> RepositoryResult<()> {
        if self.conversation.agent_id == agent_id {
            Ok(())
        } else {
            Err(RepositoryError::not_found(Entity::AgentState))
        }
    }

    fn refuse_other_revision(&self, expected: u64) -> RepositoryResult<()> {
        let observed = self.conversation.state_revision;
        if observed == expected {
            Ok(())
        } else {
            Err(RepositoryError::Conflict { entity: Entity::AgentState, expected, observed })
        }
    }

    /// Stores the agent's state as the next revision, having seen `through_turn` turns.
    fn put_state(
        &mut self,
        config: Option<Payload>,
        state: Option<Payload>,
        through_turn: u32,
        now: DateTime<Utc>,
    ) {
        let conversation = &mut self.conversation;
        conversation.state_revision += 1;
        let before = self.state.take();
        self.state = Some(AgentState {
            agent_id: conversation.agent_id,
            conversation_id: conversation.conversation_id,
            user_id: conversation.user_id,
            created_at: before.as_ref().map_or(now, |before| before.created_at),
            updated_at: before.as_ref().map_or(now, |before| before.updated_at.max(now)),
            agent_config: config
                .or(before.map(|before| before.agent_config))
                .unwrap_or_else(|| Payload::from_stored("{}".to_owned())),
            current_state: state,
            revision: conversation.state_revision,
            through_turn,
            durability: Durability::Volatile,
        });
    }
}

#[async_trait]
impl Repositories for Memory {
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
        Ok(())
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { backend: "memory", durability: Durability::Volatile, shared: false }
    }

    fn pool_status(&self) -> Option<PoolStatus> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lcs_domain::{
        AppendTurn, ManualClock, Metadata, NewConversation, NewTurn, PageLimit, RetentionPolicy, Text,
    };
    use std::time::Duration;

    const HOUR: Duration = Duration::from_hours(1);

    fn append(conversation: &Conversation) -> AppendTurn {
        let said = Payload::parse("1").unwrap();
        let at = DateTime::UNIX_EPOCH;
        AppendTurn {
            conversation_id: conversation.conversation_id,
            turn: NewTurn::new(TurnId::generate(), said, None, at, at, Metadata::default()).unwrap(),
            expected_turn_count: None,
            agent_state: None,
        }
    }

    async fn begun(memory: &Memory, user_id: UserId) -> Conversation {
        let new = NewConversation::begin(Text::name("m", "/model_id").unwrap());
        memory.create(user_id, new).await.unwrap()
    }

    #[tokio::test]
    async fn p7_what_has_been_idle_exactly_as_long_as_allowed_is_kept() {
        let clock = Arc::new(ManualClock::new(DateTime::UNIX_EPOCH));
        let memory = Memory::new(clock.clone());
        begun(&memory, UserId::generate()).await;
        let policy = RetentionPolicy::idle_longer_than(HOUR).unwrap();
        clock.advance(HOUR);
        assert_eq!(memory.count_due(policy).await.unwrap(), 0);
        assert_eq!(memory.purge_batch(policy, PageLimit::MAX).await.unwrap().purged, []);
        clock.advance(Duration::from_micros(1));
        assert_eq!(memory.count_due(policy).await.unwrap(), 1);
        assert_eq!(memory.purge_batch(policy, PageLimit::MAX).await.unwrap().purged.len(), 1);
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_does_not_set_a_conversation_back() {
        #[derive(Debug)]
        struct SetBack(Mutex<i64>);
        impl Clock for SetBack {
            fn now(&self) -> DateTime<Utc> {
                let mut seconds = self.0.lock().unwrap();
                *seconds -= 1;
                DateTime::from_timestamp(*seconds, 0).unwrap()
            }
        }
        let memory = Memory::new(Arc::new(SetBack(Mutex::new(1_000))));
        let user_id = UserId::generate();
        let before = begun(&memory, user_id).await;
        memory.append(user_id, append(&before)).await.unwrap();
        let after = memory.tables().open(user_id, before.conversation_id).unwrap().conversation.clone();
        assert_eq!((after.turn_count, after.updated_at), (1, before.updated_at));
    }

    #[tokio::test]
    async fn a_purge_leaves_nothing_but_ids() {
        let memory = Memory::new(Arc::new(ManualClock::new(DateTime::UNIX_EPOCH)));
        let user_id = UserId::generate();
        let conversation = begun(&memory, user_id).await;
        memory.append(user_id, append(&conversation)).await.unwrap();
        ConversationRepository::delete(&memory, user_id, conversation.conversation_id).await.unwrap();
        let policy = RetentionPolicy::idle_longer_than(HOUR).unwrap();
        memory.purge_batch(policy, PageLimit::MAX).await.unwrap();
        let tables = memory.tables();
        assert!(tables.conversations.is_empty() && tables.turns.is_empty());
        assert!(tables.tombstones.contains_key(&conversation.conversation_id));
    }
}
