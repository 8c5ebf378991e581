//! What the fallback promises (P8), on paused time and over fake stores.

mod answer;
mod circuit;
mod journal;
mod race;

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use futures_util::future::ready;
use lcs_domain::{
    AgentId, AppendTurn, BeginRequest, Conversation, ConversationId, ConversationUpdate, ListConversations,
    ListSummaries, Metadata, NewConversation, NewTurn, PageLimit, Payload, Repositories, RepositoryError,
    RequestId, RetentionPolicy, SaveAgentState, Text, TurnId, TurnRange, UserId,
};

use super::fake::{Fake, unavailable};
use super::{Fallback, FallbackConfig, FallbackMode};

/// A fallback, and the fakes behind it.
struct Stage {
    fallback: Fallback,
    primary: Arc<Fake>,
    /// One for each outage in which a conversation was begun.
    memories: Arc<Mutex<Vec<Arc<Fake>>>>,
    user_id: UserId,
}

impl Stage {
    fn new(mode: FallbackMode) -> Self {
        let primary = Arc::new(Fake::default());
        let memories = Arc::new(Mutex::new(Vec::new()));
        let shelf = Arc::clone(&memories);
        let fallback = Fallback::new(
            primary.clone(),
            move || {
                let memory = Arc::new(Fake::default());
                shelf.lock().unwrap().push(Arc::clone(&memory));
                memory
            },
            FallbackConfig { mode, ..FallbackConfig::default() },
        );
        Self { fallback, primary, memories, user_id: UserId::from_text("the owner") }
    }

    fn memory(&self) -> Arc<Fake> {
        Arc::clone(self.memories.lock().unwrap().last().unwrap())
    }

    /// The primary goes away, and the circuit opens.
    async fn outage(&self) {
        self.primary.fail_with(Some(unavailable));
        for _ in 0..3 {
            assert!(self.list().await.is_err());
        }
        assert!(self.fallback.status().open_for.is_some());
        // The prober begins to wait.
        tokio::task::yield_now().await;
    }

    /// The primary comes back, and the next probe closes the circuit.
    async fn recovery(&self) {
        self.primary.fail_with(None);
        tokio::time::sleep(Duration::from_millis(1250)).await;
        assert!(self.fallback.status().open_for.is_none());
    }

    async fn list(&self) -> Result<(), RepositoryError> {
        self.fallback.conversations().list(self.user_id, ListConversations::default()).await.map(drop)
    }

    /// The first error of a list of summaries.
    async fn summaries(&self) -> Result<(), RepositoryError> {
        let items = self.fallback.conversations().summaries(self.user_id, ListSummaries::default());
        items.try_for_each(|_| ready(Ok(()))).await
    }

    async fn adopt(&self) -> Result<(), RepositoryError> {
        self.fallback.conversations().adopt(self.user_id, new_conversation(), Vec::new()).await.map(drop)
    }

    async fn begin(&self) -> Conversation {
        self.fallback.conversations().create(self.user_id, new_conversation()).await.unwrap()
    }

    /// Every answer about the conversation, by the method's name.
    async fn all(
        &self,
        user_id: UserId,
        made: &Conversation,
    ) -> Vec<(&'static str, Result<(), RepositoryError>)> {
        let (id, agent_id) = (made.conversation_id, made.agent_id);
        let (conversations, turns) = (self.fallback.conversations(), self.fallback.turns());
        let states = self.fallback.agent_states();
        let limit = PageLimit::default();
        vec![
            ("get", conversations.get(user_id, id).await.map(drop)),
            ("head", conversations.head(user_id, id).await.map(drop)),
            ("update", conversations.update(user_id, id, ConversationUpdate::default()).await.map(drop)),
            ("append", turns.append(user_id, append(id)).await.map(drop)),
            ("turn", turns.get(user_id, id, TurnId::generate()).await.map(drop)),
            ("page", turns.page(user_id, id, TurnRange::Newest, limit).await.map(drop)),
            ("save", states.save(user_id, save(id, agent_id)).await.map(drop)),
            ("state", states.get(user_id, agent_id).await.map(drop)),
            ("state of", states.get_by_conversation(user_id, id).await.map(drop)),
        ]
    }

    /// Every answer about a request of ours, by the method's name.
    async fn asks(&self) -> Vec<(&'static str, Result<(), RepositoryError>)> {
        let (user_id, requests, begin) = (self.user_id, self.fallback.requests(), asking());
        let id = begin.request_id;
        vec![
            ("begin", requests.begin(user_id, begin).await.map(drop)),
            ("renew", requests.renew(&[(user_id, id)], Duration::ZERO).await.map(drop)),
            ("abandon", requests.abandon(user_id, id).await),
            ("finish", requests.finish(user_id, id).await),
        ]
    }

    /// Every answer that no outage has, by the method's name.
    async fn never(&self, made: &Conversation) -> Vec<(&'static str, Result<(), RepositoryError>)> {
        let policy = RetentionPolicy::idle_longer_than(Duration::ZERO).unwrap();
        let (user_id, retention) = (self.user_id, self.fallback.retention());
        vec![
            ("list", self.list().await),
            ("summaries", self.summaries().await),
            ("adopt", self.adopt().await),
            ("interrupt", self.fallback.requests().interrupt(user_id, RequestId::generate()).await.map(drop)),
            ("delete", self.fallback.conversations().delete(user_id, made.conversation_id).await.map(drop)),
            ("delete state", self.fallback.agent_states().delete(user_id, made.agent_id).await.map(drop)),
            ("count due", retention.count_due(policy).await.map(drop)),
            ("purge requests", retention.purge_requests(PageLimit::default()).await.map(drop)),
            ("take turn", retention.take_turn(1, NonZeroU32::MIN).await.map(drop)),
            ("purge", retention.purge_batch(policy, PageLimit::default()).await.map(drop)),
        ]
    }
}

fn new_conversation() -> NewConversation {
    NewConversation::begin(Text::name("a-model", "/model_id").unwrap())
}

fn asking() -> BeginRequest {
    BeginRequest {
        request_id: RequestId::generate(),
        idempotency_key: None,
        request_hash: [0; 32],
        conversation_id: ConversationId::generate(),
        turn_id: TurnId::generate(),
        lease: Duration::ZERO,
    }
}

fn json(text: &str) -> Payload {
    Payload::parse(text).unwrap()
}

fn append(conversation_id: ConversationId) -> AppendTurn {
    let time = DateTime::<Utc>::UNIX_EPOCH;
    let turn = NewTurn::new(TurnId::generate(), json("[]"), None, time, time, Metadata::default()).unwrap();
    AppendTurn { conversation_id, turn, expected_turn_count: None, agent_state: None }
}

fn save(conversation_id: ConversationId, agent_id: AgentId) -> SaveAgentState {
    let agent_config = Some(json("{}"));
    SaveAgentState {
        agent_id,
        conversation_id,
        agent_config,
        current_state: None,
        expected_revision: 0,
        through_turn: 0,
    }
}

fn is_unavailable(result: &Result<(), RepositoryError>) -> bool {
    matches!(result, Err(RepositoryError::Unavailable { .. }))
}
