//! The port behind which a live agent stands: what answers a message, and can be made again from what is stored.

use async_trait::async_trait;
use thiserror::Error;

use crate::error::Cause;
use crate::{Conversation, Payload, Turn};

/// What an agent or its runtime failed at.
#[derive(Debug, Error)]
#[error("the agent failed: {reason}")]
pub struct AgentError {
    /// What it was doing and how that ended, without the conversation's content.
    pub reason: String,
    /// The cause, where there is one.
    #[source]
    pub source: Option<Cause>,
}

impl AgentError {
    /// A failure for `reason`, without a cause to show.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), source: None }
    }
}

/// A live agent in one conversation. It is used by one caller at a time.
#[async_trait]
pub trait Agent: Send {
    /// Answers `input_messages`, and remembers what it needs to.
    ///
    /// An agent that fails, or whose answer is given up, is thrown away and rehydrated: what it had
    /// half remembered does not matter.
    async fn respond(&mut self, input_messages: &Payload) -> Result<Payload, AgentError>;

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

/// Makes agents.
#[async_trait]
pub trait AgentRuntime: Send + Sync {
    /// What a new agent in `conversation` is configured with.
    fn configure(&self, conversation: &Conversation) -> Result<Payload, AgentError>;

    /// A new agent with nothing to remember.
    async fn make(&self, agent_config: &Payload) -> Result<Box<dyn Agent>, AgentError>;

    /// The agent that `stored` is, where it stopped.
    async fn rehydrate(&self, stored: StoredAgent) -> Result<Box<dyn Agent>, AgentError>;
}
