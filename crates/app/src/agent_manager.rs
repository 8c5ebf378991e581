//! Talking to agents: each turn is answered by an agent that knows all turns before it, and is stored
//! with the agent's new state before the answer is given.

mod answered;
mod error;
mod hearing;
mod live_agent;
mod rehydration;

use std::fmt;
use std::sync::Arc;

use lcs_agent_cache::{AgentCache, CacheConfig, CacheMetrics, CachedAgent, Version};
use lcs_domain::agent::{AgentAnswer, AgentRequest, AgentRuntime, AnswerOptions};
use lcs_domain::erasure::OwnedConversation;
use lcs_domain::metadata::Mark;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AgentId, AppendTurn, Appended, Clock, Conversation, ConversationId, ConversationStatus, Durability,
    Entity, Head, Metadata, NewConversation, NewTurn, PageLimit, Payload, PayloadLimits, Repositories,
    RepositoryError, Text, TurnId, TurnPage, TurnRange, UserId,
};
use serde::Serialize;
use tracing::Instrument;

use self::answered::Answered;
pub use self::error::AgentManagerError;
pub use self::hearing::Hearing;
use self::hearing::Recorder;
use self::live_agent::{HeldAgent, LiveAgent, StateUpdate};
use self::rehydration::{Rehydration, pause};
use crate::retention_service::{CleanupReport, RetentionService};

/// How often a turn looks for an agent that stands where the conversation is, before that is an error.
const MAX_LOOKS: u32 = 8;

/// Keeps live agents, makes them again from what is stored, and stores what they say.
///
/// Cheap to clone; all clones share the same agents.
#[derive(Clone)]
pub struct PersistentAgentManager {
    parts: Arc<Parts>,
    cache: AgentCache<LiveAgent, AgentManagerError>,
}

/// What an agent manager is made of.
pub(crate) struct Parts {
    pub(crate) repositories: Arc<dyn Repositories>,
    pub(crate) runtime: Arc<dyn AgentRuntime>,
    pub(crate) cache: CacheConfig,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) retention: RetentionService,
    pub(crate) enable_rehydration: bool,
    pub(crate) recent_turns: PageLimit,
    pub(crate) payload_limits: PayloadLimits,
}

/// An agent that is ready to be talked to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReadyAgent {
    /// The conversation that it speaks in.
    pub conversation_id: ConversationId,
    /// The agent.
    pub agent_id: AgentId,
    /// How many turns the conversation has.
    pub turn_count: u32,
    /// Whether the conversation was made just now.
    pub created: bool,
    /// How durable the conversation is.
    pub durability: Durability,
}

/// What is said to an agent.
#[derive(Debug, Clone)]
pub struct TurnRequest {
    /// The turn's id and idempotency key.
    pub turn_id: TurnId,
    /// The messages, in the form that the agent's runtime takes.
    pub input_messages: Payload,
    /// What the caller notes beside the turn.
    pub metadata: Metadata,
    /// What the caller wishes for this one answer. Not part of what makes the request that request.
    pub options: AnswerOptions,
}

impl TurnRequest {
    /// These messages, with nothing noted and nothing wished.
    #[must_use]
    pub fn new(turn_id: TurnId, input_messages: Payload) -> Self {
        Self { turn_id, input_messages, metadata: Metadata::default(), options: AnswerOptions::default() }
    }
}

/// A turn that was answered and stored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TurnAnswer {
    /// The turn's id.
    pub turn_id: TurnId,
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// Its place in the conversation; see [`Appended::turn_number`].
    pub turn_number: Option<u32>,
    /// What the agent answered.
    pub output_message: Payload,
    /// What is noted beside the turn, by the caller and by the system.
    pub metadata: Metadata,
    /// Whether the answer was stopped before its end: it is what had been said by then.
    pub interrupted: bool,
    /// Whether another turn was stored while the agent answered this one, without its having seen it.
    pub interleaved: bool,
    /// Whether this very request had been answered before: the agent was not asked now.
    pub replayed: bool,
    /// How durable the turn is.
    pub durability: Durability,
}

impl fmt::Debug for PersistentAgentManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PersistentAgentManager").field("cache", &self.cache_metrics()).finish_non_exhaustive()
    }
}

impl PersistentAgentManager {
    pub(crate) fn new(parts: Parts) -> Self {
        Self { cache: AgentCache::new(parts.cache), parts: Arc::new(parts) }
    }

    /// The agent of this conversation, rehydrated where it is not live; without a conversation, a new
    /// agent in a new one.
    ///
    /// `model_id` and `system_prompt` are what a new conversation begins with; an existing one keeps its own.
    ///
    /// # Errors
    /// `NotFound` where the conversation is absent, foreign or deleted.
    pub async fn get_or_create_agent(
        &self,
        user_id: UserId,
        conversation_id: Option<ConversationId>,
        model_id: Text,
        system_prompt: Option<Text>,
    ) -> Result<ReadyAgent, AgentManagerError> {
        let repositories = &self.parts.repositories;
        let Some(conversation_id) = conversation_id else {
            let new = NewConversation { system_prompt, ..NewConversation::begin(model_id) };
            let conversation = repositories.conversations().create(user_id, new).await?;
            return Ok(ready(&conversation, true));
        };
        let conversation = repositories.conversations().get(user_id, conversation_id).await?;
        let conversation = conversation.ok_or(RepositoryError::not_found(Entity::Conversation))?;
        let version =
            Version { turn_count: conversation.turn_count, state_revision: conversation.state_revision };
        self.live(user_id, conversation_id, version).await?;
        Ok(ready(&conversation, false))
    }

    /// Has the conversation's agent answer, and stores the turn with the agent's new state.
    ///
    /// The answer is given when the turn is stored, and says how durably. A caller who gives up loses
    /// nothing: once the agent has answered, the turn is stored whether anybody waits for it or not; the
    /// same request sent again is answered with the stored answer, and the agent is not asked again (P1).
    /// Where another replica stored a turn meanwhile, this one is stored behind it and marked as
    /// interleaved, without the agent's state: no answer is lost, and no update either (P4).
    ///
    /// # Errors
    /// `NotFound`, `Closed`, `TooLarge`, and `IdempotencyMismatch` where the turn id belongs to another
    /// request, before the agent is asked; the agent's own failure; or
    /// [`NotStored`](AgentManagerError::NotStored) with the answer in it.
    pub async fn respond(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        request: TurnRequest,
    ) -> Result<TurnAnswer, AgentManagerError> {
        self.respond_heard(user_id, conversation_id, request, Hearing::default()).await
    }

    /// The same for a caller who listens while the answer is made, and may stop it.
    ///
    /// A stopped answer is stored as far as it had come, marked as interrupted, and given as the answer.
    /// The errors are those of [`respond`](Self::respond).
    pub async fn respond_heard(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        request: TurnRequest,
        hearing: Hearing,
    ) -> Result<TurnAnswer, AgentManagerError> {
        let limits = self.parts.payload_limits;
        limits.check(&request.input_messages).map_err(|error| error.at("/input_messages"))?;
        if let Some(answer) = self.answered_before(user_id, conversation_id, &request).await? {
            return Ok(answer);
        }
        let (live, mut held) = self.hold_current(user_id, conversation_id).await?;
        held.settled = false;
        let started_at = self.parts.clock.now();
        let recorder = Recorder::new(hearing.listener);
        let asked =
            AgentRequest { input_messages: request.input_messages.clone(), options: request.options.clone() };
        let whole = tokio::select! {
            biased;
            answer = held.agent.respond(&asked, &recorder) => Some(answer?),
            () = hearing.stop.cancelled() => None,
        };
        let interrupted = whole.is_none();
        let answer = whole.map_or_else(|| recorder.said().map(AgentAnswer::new), Ok)?;
        let AgentAnswer { output_message, usage } = answer;
        let mut metadata = request.metadata.noted(usage.notes())?;
        if interrupted {
            metadata = metadata.marked(Mark::Interrupted)?;
        }
        let completed_at = self.parts.clock.now();
        let (turn_id, answer) = (request.turn_id, output_message.clone());
        let request = TurnRequest { metadata, ..request };
        let answered = Answered {
            user_id,
            conversation_id,
            request,
            output_message,
            interrupted,
            started_at,
            completed_at,
        };
        let manager = self.clone();
        // A task of its own: a caller who goes away cannot cut the write in half.
        let storing = async move { manager.store(live, held, answered).await };
        let stored = tokio::spawn(storing.in_current_span()).await;
        stored.unwrap_or_else(|_| {
            // It panicked, or the runtime is going down: either way the answer is not lost with it.
            let source = RepositoryError::OutcomeUnknown { key: turn_id.to_string() };
            Err(AgentManagerError::NotStored { turn_id, answer, source })
        })
    }

    /// Stores a turn that somebody else's model has answered.
    ///
    /// An agent that is live here notices before its next turn. The errors are those of
    /// [`TurnRepository::append`](lcs_domain::TurnRepository::append).
    pub async fn add_conversation_turn(
        &self,
        user_id: UserId,
        append: AppendTurn,
    ) -> Result<Appended, AgentManagerError> {
        Ok(self.parts.repositories.turns().append(user_id, append).await?)
    }

    /// A page of the conversation's turns, turn numbers rising.
    ///
    /// # Errors
    /// `NotFound` where the conversation is absent, foreign or deleted: an empty page means that it has
    /// no turns, and nothing else (P8).
    pub async fn get_conversation_history(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        range: TurnRange,
        limit: PageLimit,
    ) -> Result<TurnPage, AgentManagerError> {
        let page = self.parts.repositories.turns().page(user_id, conversation_id, range, limit).await?;
        Ok(page.ok_or(RepositoryError::not_found(Entity::Conversation))?)
    }

    /// Deletes the conversation and forgets its agent; `false` where there is none.
    ///
    /// Other replicas' agents are refused at their next turn: they are checked against the store.
    pub async fn delete_conversation(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
    ) -> Result<bool, AgentManagerError> {
        let deleted = self.parts.repositories.conversations().delete(user_id, conversation_id).await?;
        if deleted {
            self.cache.invalidate(conversation_id);
        }
        Ok(deleted)
    }

    /// Drops the agents of conversations that are erased, or whose users are. Another replica may have erased them: an
    /// agent is checked before each use, and so is never used; here it is forgotten.
    pub(crate) async fn forget_erased(&self) -> RepositoryResult<()> {
        /// How many are asked for at once.
        const AT_ONCE: usize = 500;
        // First: what they have read may be from before, and nobody knows yet whose it is.
        self.cache.abandon_loads();
        let owned = |(conversation_id, agent): (ConversationId, Arc<LiveAgent>)| OwnedConversation {
            user_id: agent.user_id,
            conversation_id,
        };
        let held: Vec<OwnedConversation> = self.cache.held().into_iter().map(owned).collect();
        for asked in held.chunks(AT_ONCE) {
            let erased = self.parts.repositories.erasures().erased(asked.to_vec()).await?;
            for erased in erased.conversations {
                self.cache.invalidate(erased.owned.conversation_id);
            }
        }
        Ok(())
    }

    /// Forgets the agent of this conversation in this process's memory, where somebody else has deleted it. It would be
    /// found out at its next use.
    pub(crate) fn forget(&self, conversation_id: ConversationId) {
        self.cache.invalidate(conversation_id);
    }

    /// The agent that speaks in this conversation; `None` where it is absent, foreign or deleted.
    pub async fn conversation_to_agent_mapping(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
    ) -> Result<Option<AgentId>, AgentManagerError> {
        let conversation = self.parts.repositories.conversations().get(user_id, conversation_id).await?;
        Ok(conversation.map(|conversation| conversation.agent_id))
    }

    /// Removes what has been idle longer than the configured policy allows.
    pub async fn cleanup_old_conversations(&self) -> Result<CleanupReport, AgentManagerError> {
        self.parts.retention.cleanup_old_conversations(|_| ()).await.map_err(|error| match error {
            crate::archive::ArchiveError::Store(error) => error.into(),
            error => AgentManagerError::Archive(error),
        })
    }

    /// What the agent cache has done so far.
    #[must_use]
    pub fn cache_metrics(&self) -> CacheMetrics {
        self.cache.metrics()
    }

    /// The answer to this very request, where it is stored: a retry does not ask the agent again.
    async fn answered_before(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        request: &TurnRequest,
    ) -> Result<Option<TurnAnswer>, AgentManagerError> {
        let turn_id = request.turn_id;
        let turn = self.parts.repositories.turns().get(user_id, conversation_id, turn_id).await?;
        let Some(turn) = turn else { return Ok(None) };
        let head = self.parts.repositories.conversations().head(user_id, conversation_id).await?;
        let head = head.ok_or(RepositoryError::not_found(Entity::Conversation))?;
        let is_same = turn.input_messages == request.input_messages
            && turn.metadata.caller_json()? == request.metadata.caller_json()?;
        let (interleaved, interrupted) = (turn.is_interleaved(), turn.is_interrupted());
        match turn.output_message {
            Some(output_message) if is_same => Ok(Some(TurnAnswer {
                turn_id,
                conversation_id,
                turn_number: Some(turn.turn_number),
                output_message,
                metadata: turn.metadata,
                interrupted,
                interleaved,
                replayed: true,
                durability: head.durability,
            })),
            _ => Err(RepositoryError::IdempotencyMismatch { turn_id }.into()),
        }
    }

    /// The conversation's agent for this caller alone, standing where the conversation is now (P5).
    async fn hold_current(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
    ) -> Result<(Arc<LiveAgent>, HeldAgent), AgentManagerError> {
        for attempt in 0..MAX_LOOKS {
            // First the store, then the cache: whose conversation it is, is never asked of the cache.
            let head = self.open_head(user_id, conversation_id).await?;
            let cached = self.live(user_id, conversation_id, head.into()).await?;
            let (agent, waited) = cached.agent.hold().await;
            // Whoever held the agent meanwhile may have moved the conversation on with it.
            let head = if waited { self.open_head(user_id, conversation_id).await? } else { head };
            if agent.is_at(&head) {
                return Ok((cached.agent, agent));
            }
            self.cache.invalidate_if(conversation_id, cached.version);
            pause(attempt).await;
        }
        let reason = "the conversation changes faster than its agent can follow: try again";
        Err(RepositoryError::Overloaded { reason: reason.to_owned() }.into())
    }

    /// The conversation's head, if the conversation takes turns.
    async fn open_head(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
    ) -> Result<Head, AgentManagerError> {
        let head = self.parts.repositories.conversations().head(user_id, conversation_id).await?;
        let head = head.ok_or(RepositoryError::not_found(Entity::Conversation))?;
        if head.status == ConversationStatus::Archived {
            return Err(RepositoryError::Closed { entity: Entity::Conversation }.into());
        }
        Ok(head)
    }

    /// The live agent at `version` or later, from the cache or made again.
    async fn live(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        version: Version,
    ) -> Result<CachedAgent<LiveAgent>, AgentManagerError> {
        let rehydration = Rehydration {
            repositories: Arc::clone(&self.parts.repositories),
            runtime: Arc::clone(&self.parts.runtime),
            enabled: self.parts.enable_rehydration,
            recent_turns: self.parts.recent_turns,
        };
        let load = async move {
            let rehydrated = rehydration.agent(user_id, conversation_id).await?;
            let version =
                Version { turn_count: rehydrated.turn_count, state_revision: rehydrated.state_revision };
            let bytes = rehydrated.bytes;
            Ok(CachedAgent::new(LiveAgent::new(user_id, rehydrated), version).with_bytes(bytes))
        };
        Ok(self.cache.get_checked(conversation_id, version, load).await?)
    }

    /// Stores an answered turn; runs to its end whoever waits.
    async fn store(
        &self,
        live: Arc<LiveAgent>,
        mut held: HeldAgent,
        answered: Answered,
    ) -> Result<TurnAnswer, AgentManagerError> {
        let turn = match self.storable(&answered) {
            Ok(turn) => turn,
            Err(error) => return Err(answered.not_stored(error)),
        };
        let update = if answered.interrupted {
            // It does not know how far it was heard: it is made again from the turns.
            StateUpdate::Unknown
        } else {
            held.update(self.parts.payload_limits)
        };
        let goes_on = !matches!(update, StateUpdate::Unknown);
        if let Some(bytes) = update.bytes() {
            held.bytes = bytes + held.agent_config.as_json().len() as u64;
        }
        let append = AppendTurn {
            conversation_id: answered.conversation_id,
            turn: turn.clone(),
            expected_turn_count: Some(held.turn_count),
            agent_state: update.into_state(),
        };
        let turns = self.parts.repositories.turns();
        match turns.append(answered.user_id, append).await {
            Ok(appended) => {
                if goes_on && !appended.replayed {
                    held.moved_to(&appended);
                    let version =
                        Version { turn_count: held.turn_count, state_revision: held.state_revision };
                    let cached = CachedAgent::new(live, version).with_bytes(held.bytes);
                    self.cache.put_if_newer(answered.conversation_id, cached);
                }
                Ok(answered.stored(&appended, false))
            }
            // The conversation moved on while the agent answered: the turn is kept, its state is not.
            Err(RepositoryError::Conflict { .. }) => match self.interleave(&answered, &turn).await {
                Ok(appended) => Ok(answered.stored(&appended, true)),
                Err(error) => Err(answered.not_stored(error)),
            },
            Err(error) => Err(answered.not_stored(error)),
        }
    }

    /// The answered turn, if a store can keep it.
    fn storable(&self, answered: &Answered) -> Result<NewTurn, RepositoryError> {
        let limits = self.parts.payload_limits;
        limits.check(&answered.output_message).map_err(|error| error.at("/output_message"))?;
        answered.turn()
    }

    /// Appends the turn behind whatever was stored meanwhile, without the agent's state.
    async fn interleave(&self, answered: &Answered, turn: &NewTurn) -> RepositoryResult<Appended> {
        let append = AppendTurn {
            conversation_id: answered.conversation_id,
            turn: turn.marked(Mark::Interleaved)?,
            expected_turn_count: None,
            agent_state: None,
        };
        self.parts.repositories.turns().append(answered.user_id, append).await
    }
}

fn ready(conversation: &Conversation, created: bool) -> ReadyAgent {
    ReadyAgent {
        conversation_id: conversation.conversation_id,
        agent_id: conversation.agent_id,
        turn_count: conversation.turn_count,
        created,
        durability: conversation.durability,
    }
}
