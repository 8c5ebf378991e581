//! The port behind which a live agent stands: what answers a message, and can be made again from what is stored.

use async_trait::async_trait;
use serde_json::Value;
use thiserror::Error;

use crate::error::Cause;
use crate::{Conversation, Payload, Text, Turn};

/// What kind of failure an agent's is: what a caller can do about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgentFailure {
    /// The input is not one that the agent understands.
    InvalidInput,
    /// The stored state is not one of this runtime's agents.
    UnknownState,
    /// The model that was asked for is not there.
    ModelNotFound,
    /// The input is longer than the model's context.
    PromptTooLong,
    /// The model's provider allows no more for now.
    QuotaExceeded,
    /// The model's provider cannot be reached, or did not answer in time.
    Unavailable,
    /// Anything else.
    #[default]
    Other,
}

/// What an agent or its runtime failed at.
#[derive(Debug, Error)]
#[error("the agent failed: {reason}")]
pub struct AgentError {
    /// What kind of failure it is.
    pub failure: AgentFailure,
    /// What it was doing and how that ended, without the conversation's content.
    pub reason: String,
    /// The cause, where there is one.
    #[source]
    pub source: Option<Cause>,
}

impl AgentError {
    /// A failure for `reason`, of no known kind and without a cause to show.
    pub fn new(reason: impl Into<String>) -> Self {
        Self::of(AgentFailure::Other, reason)
    }

    /// A failure of this kind for `reason`, without a cause to show.
    pub fn of(failure: AgentFailure, reason: impl Into<String>) -> Self {
        Self { failure, reason: reason.into(), source: None }
    }
}

/// What an agent is asked.
#[derive(Debug, Clone)]
pub struct AgentRequest {
    /// The messages, in the form that the runtime takes.
    pub input_messages: Payload,
    /// What is wished for this one answer.
    pub options: AnswerOptions,
}

/// What a caller wishes for one answer; a runtime that has no use for a wish does without.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnswerOptions {
    /// The model to answer with, in place of the conversation's.
    pub model: Option<String>,
    /// Whose model it is.
    pub provider: Option<String>,
    /// The system prompt, in place of the conversation's.
    pub system_prompt: Option<String>,
    /// Use no tools.
    pub no_tools: bool,
}

/// A piece of an answer, while the answer is made.
#[derive(Debug, Clone, PartialEq)]
pub enum AnswerPiece {
    /// Some more of its text.
    Text(String),
    /// A tool that the model calls: an object with `id`, `name`, `args` and `type`.
    ToolCall(Value),
    /// What a tool answered: an object with `id`, `status`, `content`, `type` and `round`.
    ToolResult(Value),
}

/// Who hears an answer while it is made.
pub trait AnswerListener: Send + Sync {
    /// Takes the next piece. It does not wait.
    fn hear(&self, piece: AnswerPiece);
}

/// An answer: what is stored of it, and what is known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentAnswer {
    /// What is stored: an object with `role` and `content`, and with `tool_calls`, `tool_results` and
    /// `referenced_documents` where there are any.
    pub output_message: Payload,
    /// Which model answered, and what it took.
    pub usage: Usage,
}

impl AgentAnswer {
    /// An answer of which nothing else is known.
    #[must_use]
    pub const fn new(output_message: Payload) -> Self {
        let usage = Usage { model: None, provider: None, input_tokens: None, output_tokens: None };
        Self { output_message, usage }
    }
}

/// Which model answered, and what it took. It is stored in the turn's metadata, under the keys below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// The model.
    pub model: Option<String>,
    /// Whose model it is.
    pub provider: Option<String>,
    /// How many tokens the model was given.
    pub input_tokens: Option<u64>,
    /// How many tokens it answered with.
    pub output_tokens: Option<u64>,
}

impl Usage {
    /// The metadata key of the model.
    pub const MODEL: &str = "lcs:model";
    /// The metadata key of the provider.
    pub const PROVIDER: &str = "lcs:provider";
    /// The metadata key of the input tokens.
    pub const INPUT_TOKENS: &str = "lcs:input_tokens";
    /// The metadata key of the output tokens.
    pub const OUTPUT_TOKENS: &str = "lcs:output_tokens";

    /// The metadata entries for what is known.
    #[must_use]
    pub fn notes(&self) -> Vec<(&'static str, Value)> {
        let text = |text: &Option<String>| text.clone().map(Value::from);
        [
            (Self::MODEL, text(&self.model)),
            (Self::PROVIDER, text(&self.provider)),
            (Self::INPUT_TOKENS, self.input_tokens.map(Value::from)),
            (Self::OUTPUT_TOKENS, self.output_tokens.map(Value::from)),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
    }
}

/// A live agent in one conversation. It is used by one caller at a time.
#[async_trait]
pub trait Agent: Send {
    /// Answers the request, tells `listener` what it says while it says it, and remembers what it needs to.
    ///
    /// An agent that fails, or whose answer is given up, is thrown away and rehydrated: what it had
    /// half remembered does not matter.
    async fn respond(
        &mut self,
        request: &AgentRequest,
        listener: &dyn AnswerListener,
    ) -> Result<AgentAnswer, AgentError>;

    /// What the agent remembers: given to [`AgentRuntime::rehydrate`], it makes the same agent again.
    fn snapshot(&self) -> Result<Payload, AgentError>;
}

/// What is stored of an agent: what it is made again from.
#[derive(Debug, Clone)]
pub struct StoredAgent {
    /// What it was configured with.
    pub agent_config: Payload,
    /// What it remembered when it was last stored; `None` where that never happened.
    pub current_state: Option<Payload>,
    /// The turns that came after that state was stored, in order: the agent has to catch up with them.
    pub missed_turns: Vec<Turn>,
    /// The conversation's newest turns, in order, for an agent whose model wants to see them again.
    pub recent_turns: Vec<Turn>,
}

/// A model that agents of a runtime can answer with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Its name: what a caller asks for.
    pub name: String,
    /// Whose model it is.
    pub provider: String,
}

/// Makes agents.
#[async_trait]
pub trait AgentRuntime: Send + Sync {
    /// What a new agent in `conversation` is configured with.
    fn configure(&self, conversation: &Conversation) -> Result<Payload, AgentError>;

    /// A new agent with nothing to remember.
    async fn make(&self, agent_config: &Payload) -> Result<Box<dyn Agent>, AgentError>;

    /// The agent that `stored` is, where it stopped.
    async fn rehydrate(&self, stored: StoredAgent) -> Result<Box<dyn Agent>, AgentError>;

    /// The models that its agents can answer with; the first is the one that a new conversation begins with.
    /// By default it names none, and takes what it is asked for.
    async fn models(&self) -> Result<Vec<Model>, AgentError> {
        Ok(Vec::new())
    }

    /// What a conversation that begins with `question` is about, in a line; by default nothing is said of it.
    async fn topic(&self, _model_id: &Text, _question: &str) -> Result<Option<String>, AgentError> {
        Ok(None)
    }
}
