//! An agent whose answers wait until a test lets them go: for what happens meanwhile.

use std::sync::Arc;

use async_trait::async_trait;
use lcs_app::echo::EchoRuntime;
use lcs_domain::agent::{
    Agent, AgentAnswer, AgentError, AgentRequest, AgentRuntime, AnswerListener, StoredAgent,
};
use lcs_domain::{Conversation, Payload};
use tokio::sync::Semaphore;

/// Echo agents that announce each question in `asked` and take a permit of `gate` to answer it.
pub(crate) struct GatedRuntime {
    pub(crate) asked: Arc<Semaphore>,
    pub(crate) gate: Arc<Semaphore>,
}

impl GatedRuntime {
    pub(crate) fn new() -> Self {
        Self { asked: Arc::new(Semaphore::new(0)), gate: Arc::new(Semaphore::new(0)) }
    }

    /// Waits until an agent has been asked.
    pub(crate) async fn wait_asked(asked: &Semaphore) {
        asked.acquire().await.unwrap().forget();
    }

    fn gated(&self, agent: Box<dyn Agent>) -> Box<dyn Agent> {
        Box::new(Gated { agent, asked: Arc::clone(&self.asked), gate: Arc::clone(&self.gate) })
    }
}

#[async_trait]
impl AgentRuntime for GatedRuntime {
    fn configure(&self, conversation: &Conversation) -> Result<Payload, AgentError> {
        EchoRuntime.configure(conversation)
    }

    async fn make(&self, agent_config: &Payload) -> Result<Box<dyn Agent>, AgentError> {
        Ok(self.gated(EchoRuntime.make(agent_config).await?))
    }

    async fn rehydrate(&self, stored: StoredAgent) -> Result<Box<dyn Agent>, AgentError> {
        Ok(self.gated(EchoRuntime.rehydrate(stored).await?))
    }
}

struct Gated {
    agent: Box<dyn Agent>,
    asked: Arc<Semaphore>,
    gate: Arc<Semaphore>,
}

#[async_trait]
impl Agent for Gated {
    async fn respond(
        &mut self,
        request: &AgentRequest,
        listener: &dyn AnswerListener,
    ) -> Result<AgentAnswer, AgentError> {
        // It remembers first and answers later: a caller who gives up leaves it half changed.
        let answer = self.agent.respond(request, listener).await?;
        self.asked.add_permits(1);
        self.gate.acquire().await.map_err(|_| AgentError::new("the gate is gone"))?.forget();
        Ok(answer)
    }

    fn snapshot(&self) -> Result<Payload, AgentError> {
        self.agent.snapshot()
    }
}
