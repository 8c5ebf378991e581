//! From a question to a stored answer: whoever goes away meanwhile, no answer is lost, and no question is
//! answered twice.

use std::time::Duration;

use http::StatusCode;
use lcs_agent_cache::FallbackMode;
use lcs_domain::agent::Usage;
use lcs_domain::{
    AgentId, BeginRequest, Begun, ConversationId, Durability, NewConversation, Payload, RepositoryError,
    RequestId, Text, TurnId,
};
use serde_json::{Map, Value};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::error::ApiError;
use super::history::Output;
use super::in_flight::Entered;
use super::query_request::Query;
use super::service::{Caller, Service};
use crate::agent_manager::{AgentManagerError, Hearing, TurnAnswer, TurnRequest};

/// How long an answer waits for what its conversation is about.
const TOPIC_PATIENCE: Duration = Duration::from_secs(5);
/// The longest topic, in characters.
const MAX_TOPIC: usize = 1000;

/// A question that has been begun, and will be answered.
pub(super) struct Answering {
    pub(super) request_id: RequestId,
    /// The conversation as the caller called it.
    pub(super) shown: String,
    pub(super) stop: CancellationToken,
    caller: Caller,
    query: Query,
    conversation_id: ConversationId,
    turn_id: TurnId,
    /// Whether other replicas know of it.
    is_known: bool,
    /// Whether an earlier attempt at it was answered.
    is_finished: bool,
    /// Whether it goes on with what an earlier attempt has begun.
    is_taken_over: bool,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// The conversation as the caller called it.
    pub(super) conversation_id: String,
    pub(super) output: Output,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) interrupted: bool,
    pub(super) durability: Durability,
}

impl Service {
    /// Begins to answer `query`; `interruptible` where it is to be found by who wants to stop it.
    ///
    /// # Errors
    /// 409 where the same request is being answered, 422 where its key was used for another one, and
    /// whatever keeps it from being begun.
    pub(super) async fn begin(
        &self,
        caller: Caller,
        query: Query,
        key: Option<String>,
        interruptible: bool,
    ) -> Result<Answering, ApiError> {
        let user_id = caller.user_id();
        if query.options.model.is_some() {
            self.require_model(&query).await?;
        }
        let conversation_id =
            query.conversation.as_ref().map_or_else(ConversationId::generate, |name| name.id);
        let turn_id = match &key {
            // Apart from the keys under which hosts append: one of each is not one turn.
            Some(key) => TurnId::from_idempotency_key(user_id, &format!("query:{key}")),
            None => TurnId::generate(),
        };
        let mut answering = Answering {
            request_id: RequestId::generate(),
            shown: String::new(),
            stop: CancellationToken::new(),
            is_known: key.is_some() || interruptible,
            is_finished: false,
            is_taken_over: false,
            caller,
            conversation_id,
            turn_id,
            query,
        };
        if answering.is_known {
            let attempt = BeginRequest {
                request_id: answering.request_id,
                idempotency_key: key,
                request_hash: answering.query.hash,
                conversation_id,
                turn_id,
                lease: self.manager().request_lease(),
            };
            let outcome = self.repositories().requests().begin(user_id, attempt).await;
            let target = match outcome.map_err(|error| ApiError::of_repository(&error, None))? {
                Begun::Started(target) => target,
                Begun::Finished(target) => {
                    answering.is_finished = true;
                    target
                }
                Begun::InProgress { .. } => {
                    let cause = "the same request is being answered: send it again later for its answer";
                    return Err(
                        ApiError::new(StatusCode::CONFLICT, "Request in progress", cause).retry_after(1)
                    );
                }
            };
            answering.is_taken_over = target.conversation_id != conversation_id;
            (answering.conversation_id, answering.turn_id) = (target.conversation_id, target.turn_id);
        }
        answering.shown = match &answering.query.conversation {
            Some(name) => name.shown.clone(),
            None => answering.conversation_id.to_string(),
        };
        Ok(answering)
    }

    /// Makes sure of the conversation before an answer begins that has no status any more.
    pub(super) async fn require_conversation(&self, answering: &Answering) -> Result<(), ApiError> {
        let Some(name) = &answering.query.conversation else { return Ok(()) };
        let repositories = self.repositories();
        let head = repositories.conversations().head(answering.caller.user_id(), name.id).await;
        let found = match head {
            Ok(Some(_)) => Ok(()),
            Ok(None) => self.adopt(&answering.caller, name).await,
            Err(error) => Err(ApiError::of_repository(&error, Some(&name.shown))),
        };
        if found.is_err() {
            self.abandon(answering).await;
        }
        found
    }

    /// Has the question answered and the answer stored.
    pub(super) async fn answer(&self, answering: Answering, hearing: Hearing) -> Result<Answer, ApiError> {
        let user_id = answering.caller.user_id();
        let entered: Option<Entered> = answering
            .is_known
            .then(|| self.in_flight().enter(user_id, answering.request_id, answering.stop.clone()));
        let is_new = answering.query.conversation.is_none() && !answering.is_finished;
        let begun = if is_new { self.begin_conversation(&answering).await } else { Ok(None) };
        let topic = match begun {
            Ok(topic) => topic,
            Err(error) => {
                self.abandon(&answering).await;
                return Err(error);
            }
        };
        let mut answered = self.respond(&answering, hearing.clone()).await;
        if let (Err(error), Some(name)) = (&answered, &answering.query.conversation)
            && is_not_found(error)
        {
            if let Err(error) = self.adopt(&answering.caller, name).await {
                self.abandon(&answering).await;
                return Err(error);
            }
            answered = self.respond(&answering, hearing).await;
        }
        match &answered {
            Ok(_) => self.finished(&answering, topic).await,
            Err(AgentManagerError::NotStored { .. }) => self.release(&answering).await,
            // Only the agent failed: nothing is stored, and nothing is unknown.
            Err(error) if error.agent_error().is_some() => {
                if is_new && !answering.is_taken_over {
                    self.remove_empty(&answering).await;
                    self.abandon(&answering).await;
                } else {
                    self.release(&answering).await;
                }
            }
            Err(error) if is_not_found(error) => self.abandon(&answering).await,
            Err(_) => self.release(&answering).await,
        }
        drop(entered);
        self.as_answer(&answering, answered)
    }

    /// Removes the conversation that this attempt has made, if nothing was said in it meanwhile.
    async fn remove_empty(&self, answering: &Answering) {
        let (user_id, id) = (answering.caller.user_id(), answering.conversation_id);
        let removed = match self.repositories().conversations().head(user_id, id).await {
            Ok(Some(head)) if head.turn_count == 0 => {
                self.manager().agent_manager().delete_conversation(user_id, id).await.map(|_| ())
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = removed {
            tracing::warn!(error = %error, "a conversation without a turn is left behind");
        }
    }

    /// Asks the agent; what is found out too late to be asked twice is asked of the store.
    async fn respond(
        &self,
        answering: &Answering,
        hearing: Hearing,
    ) -> Result<TurnAnswer, AgentManagerError> {
        let agents = self.manager().agent_manager();
        let user_id = answering.caller.user_id();
        let request = TurnRequest {
            options: answering.query.options.clone(),
            ..TurnRequest::new(answering.turn_id, answering.query.input_messages.clone())
        };
        let id = answering.conversation_id;
        let answered = agents.respond_heard(user_id, id, request.clone(), hearing.clone()).await;
        match answered {
            // Another attempt at this very request was quicker to store its answer: that is the answer.
            Err(AgentManagerError::NotStored {
                source: RepositoryError::IdempotencyMismatch { .. }, ..
            }) if self.has_turn(answering).await => agents.respond_heard(user_id, id, request, hearing).await,
            answered => answered,
        }
    }

    /// Whether the turn is in its conversation: if so, the agent is not asked for it again.
    async fn has_turn(&self, answering: &Answering) -> bool {
        let (user_id, id) = (answering.caller.user_id(), answering.conversation_id);
        let turn = self.repositories().turns().get(user_id, id, answering.turn_id).await;
        turn.is_ok_and(|turn| turn.is_some())
    }

    /// Makes the conversation that the question begins, and has somebody find out what it is about.
    async fn begin_conversation(&self, answering: &Answering) -> Result<Option<TopicTask>, ApiError> {
        let id = answering.conversation_id;
        let model_id = match &answering.query.options.model {
            Some(model) => {
                Text::name(model.clone(), "/model").map_err(|error| ApiError::of_repository(&error, None))?
            }
            None => self.first_model().await?,
        };
        let new = NewConversation {
            conversation_id: id,
            agent_id: AgentId::of_conversation(id),
            system_prompt: answering.query.system_prompt.clone(),
            ..NewConversation::begin(model_id.clone())
        };
        let made = self.repositories().conversations().create(answering.caller.user_id(), new).await;
        made.map_err(|error| match error {
            // An earlier attempt made it, and it is deleted.
            RepositoryError::AlreadyExists { .. } => ApiError::conversation_not_found(&answering.shown),
            error => ApiError::of_repository(&error, Some(&answering.shown)),
        })?;
        if !answering.query.wants_topic {
            return Ok(None);
        }
        let (runtime, question) = (self.runtime().clone(), answering.query.question.clone());
        Ok(Some(tokio::spawn(async move {
            runtime.topic(&model_id, &question).await.unwrap_or_else(|error| {
                tracing::warn!(error = %error, "a topic could not be found out");
                None
            })
        })))
    }

    /// The answer is stored: no attempt at this request asks the model again.
    async fn finished(&self, answering: &Answering, topic: Option<TopicTask>) {
        let user_id = answering.caller.user_id();
        if answering.is_known
            && !answering.is_finished
            && let Err(error) = self.repositories().requests().finish(user_id, answering.request_id).await
        {
            // Its lease runs out, and then the stored turn is found by its id.
            tracing::warn!(error = %error, "a request could not be marked as answered");
        }
        if let Some(topic) = topic {
            self.set_topic(answering, topic).await;
        }
    }

    async fn set_topic(&self, answering: &Answering, task: TopicTask) {
        let Ok(Ok(Some(topic))) = timeout(TOPIC_PATIENCE, task).await else { return };
        let topic: String = topic.chars().filter(|c| *c != '\0').take(MAX_TOPIC).collect();
        let Ok(topic) = Text::summary(topic, "/topic_summary") else { return };
        let update = lcs_domain::ConversationUpdate {
            topic_summary: Some(Some(topic)),
            ..lcs_domain::ConversationUpdate::default()
        };
        let (user_id, id) = (answering.caller.user_id(), answering.conversation_id);
        if let Err(error) = self.repositories().conversations().update(user_id, id, update).await {
            tracing::warn!(error = %error, "a topic is not stored");
        }
    }

    /// Nothing is stored of this request: it can be sent again at once.
    pub(super) async fn abandon(&self, answering: &Answering) {
        if !answering.is_known || answering.is_finished {
            return;
        }
        let abandoned =
            self.repositories().requests().abandon(answering.caller.user_id(), answering.request_id).await;
        if let Err(error) = abandoned {
            tracing::warn!(error = %error, "a failed request could not be released: its key is blocked until its lease ends");
        }
    }

    /// It is not known whether anything is stored: the next attempt goes on with the same turn.
    async fn release(&self, answering: &Answering) {
        if answering.is_known {
            let request = [(answering.caller.user_id(), answering.request_id)];
            // Where that fails, the lease runs out by itself.
            let _ = self.repositories().requests().renew(&request, Duration::ZERO).await;
        }
    }

    /// What is answered: the stored answer, or the one that could not be stored where the fallback's mode
    /// is to go on in memory.
    fn as_answer(
        &self,
        answering: &Answering,
        answered: Result<TurnAnswer, AgentManagerError>,
    ) -> Result<Answer, ApiError> {
        let (output, metadata, interrupted, durability) = match answered {
            Ok(answer) => {
                let metadata = answer.metadata.to_object().unwrap_or_default();
                (answer.output_message, metadata, answer.interrupted, answer.durability)
            }
            Err(AgentManagerError::NotStored { answer, source, .. })
                if self.manager().fallback_status().mode == FallbackMode::Memory && is_outage(&source) =>
            {
                tracing::warn!(error = %source, "an answer is given that is not stored");
                (answer, Map::new(), false, Durability::Volatile)
            }
            Err(error) => return Err(ApiError::of_manager(&error, Some(&answering.shown))),
        };
        metrics::counter!("lcs_answers_total", "durability" => durability.as_str()).increment(1);
        let output = output_of(&output)?;
        let tokens = |key: &str| metadata.get(key).and_then(Value::as_u64).unwrap_or_default();
        Ok(Answer {
            conversation_id: answering.shown.clone(),
            input_tokens: tokens(Usage::INPUT_TOKENS),
            output_tokens: tokens(Usage::OUTPUT_TOKENS),
            output,
            interrupted,
            durability,
        })
    }

    /// The model that a conversation begins with where nothing is said.
    pub(super) async fn first_model(&self) -> Result<Text, ApiError> {
        let models = self.runtime().models().await.map_err(|error| ApiError::of_agent(&error))?;
        let name = models.into_iter().next().map_or_else(|| "default".to_owned(), |model| model.name);
        Text::name(name, "/model").map_err(|error| ApiError::of_repository(&error, None))
    }

    /// Refuses a model that is not there, before anything is done.
    async fn require_model(&self, query: &Query) -> Result<(), ApiError> {
        let models = self.runtime().models().await.map_err(|error| ApiError::of_agent(&error))?;
        let (name, provider) = (query.options.model.as_ref(), query.options.provider.as_ref());
        let is_there = models.is_empty()
            || models.iter().any(|model| Some(&model.name) == name && Some(&model.provider) == provider);
        if is_there {
            return Ok(());
        }
        let shown: String = name.map(|name| name.chars().take(64).collect()).unwrap_or_default();
        let cause = format!("Model with ID {shown} does not exist");
        Err(ApiError::new(StatusCode::NOT_FOUND, "Model not found", cause))
    }
}

type TopicTask = JoinHandle<Option<String>>;

/// Whether the agent was not asked because there is no conversation.
fn is_not_found(error: &AgentManagerError) -> bool {
    !matches!(error, AgentManagerError::NotStored { .. })
        && matches!(error.repository_error(), Some(RepositoryError::NotFound { .. }))
}

fn is_outage(error: &RepositoryError) -> bool {
    matches!(error, RepositoryError::Unavailable { .. } | RepositoryError::OutcomeUnknown { .. })
}

fn output_of(output: &Payload) -> Result<Output, ApiError> {
    let value = output.to_value().map_err(|error| ApiError::of_repository(&error, None))?;
    Ok(Output::of(&value))
}
