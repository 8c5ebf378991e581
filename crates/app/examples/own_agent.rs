//! Brings an agent of your own: a runtime makes it, makes it again, and stores what it remembers.
//!
//! Run it with `cargo run -p lcs-app --example own_agent`.

use std::sync::Arc;

use async_trait::async_trait;
use lcs_app::PersistenceManager;
use lcs_app::agent_manager::TurnRequest;
use lcs_app::configuration::{Configuration, StoreConfiguration};
use lcs_domain::agent::{
    Agent, AgentAnswer, AgentError, AgentRequest, AgentRuntime, AnswerListener, StoredAgent,
};
use lcs_domain::{Conversation, Payload, Text, TurnId, UserId};
use serde_json::json;

/// Counts how often it was asked.
struct Counter {
    asked: u64,
}

#[async_trait]
impl Agent for Counter {
    async fn respond(
        &mut self,
        _request: &AgentRequest,
        _listener: &dyn AnswerListener,
    ) -> Result<AgentAnswer, AgentError> {
        self.asked += 1;
        let answer = format!("that was question {}", self.asked);
        Ok(AgentAnswer::new(to_payload(&json!({ "role": "assistant", "content": answer }))?))
    }

    fn snapshot(&self) -> Result<Payload, AgentError> {
        to_payload(&json!(self.asked))
    }
}

struct CounterRuntime;

#[async_trait]
impl AgentRuntime for CounterRuntime {
    fn configure(&self, _conversation: &Conversation) -> Result<Payload, AgentError> {
        to_payload(&json!({ "kind": "counter" }))
    }

    async fn make(&self, _agent_config: &Payload) -> Result<Box<dyn Agent>, AgentError> {
        Ok(Box::new(Counter { asked: 0 }))
    }

    async fn rehydrate(&self, stored: StoredAgent) -> Result<Box<dyn Agent>, AgentError> {
        let asked: u64 = match &stored.current_state {
            Some(state) => serde_json::from_str(state.as_json())
                .map_err(|_| AgentError::new("the stored state is not a number"))?,
            None => 0,
        };
        // Turns that came after the state was stored count as well.
        Ok(Box::new(Counter { asked: asked + stored.missed_turns.len() as u64 }))
    }
}

fn to_payload(value: &serde_json::Value) -> Result<Payload, AgentError> {
    Payload::from_value(value).map_err(|error| AgentError::new(error.to_string()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let configuration = Configuration::new(StoreConfiguration::Memory);
    let manager =
        PersistenceManager::builder(configuration).runtime(Arc::new(CounterRuntime)).initialize().await?;
    let user = UserId::from_text("ada");
    let model = Text::name("counter", "/model_id")?;
    let agent = manager.agent_manager().get_or_create_agent(user, None, model, None).await?;
    for asked in 1..=3 {
        let said = Payload::from_value(&json!([{ "role": "user", "content": "again" }]))?;
        let request = TurnRequest::new(TurnId::generate(), said);
        let answer = manager.agent_manager().respond(user, agent.conversation_id, request).await?;
        assert!(answer.output_message.as_json().contains(&format!("question {asked}")));
    }
    Ok(())
}
