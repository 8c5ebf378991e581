//! Agents whose model is behind a Responses API, over a store and against a real server: what it is shown,
//! what is stored of its answers, and what becomes of broken ones.

#![cfg(test)]

mod answer;
mod configured;
mod failure;
mod history;
mod llama_stack;
mod stop;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use lcs_app::PersistenceManager;
use lcs_app::agent_manager::{AgentManagerError, TurnAnswer, TurnRequest};
use lcs_app::configuration::{Configuration, StoreConfiguration};
use lcs_app::responses::{ResponsesConfig, ResponsesRuntime};
use lcs_domain::{
    ConversationId, PageLimit, Payload, Repositories, SystemClock, Text, Turn, TurnId, TurnRange, UserId,
};
use lcs_storage::memory::Memory;
use lcs_tests::model_stub::ModelStub;
use secrecy::SecretString;
use serde_json::{Value, json};

const KEY: &str = "canary-key";
const MODEL: &str = "llama3.2:3b";

/// One conversation, between a user and a model behind `stub`.
struct Scene {
    stub: ModelStub,
    store: Arc<dyn Repositories>,
    config: ResponsesConfig,
    manager: PersistenceManager,
    user: UserId,
    conversation: ConversationId,
}

impl Scene {
    async fn begin() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut ResponsesConfig)) -> Self {
        let stub = ModelStub::start().await.unwrap();
        let mut config = ResponsesConfig {
            api_key: Some(SecretString::from(KEY)),
            provider: Some("ollama".to_owned()),
            idle_timeout: Duration::from_secs(20),
            ..ResponsesConfig::new(stub.base_url(), MODEL)
        };
        change(&mut config);
        let store: Arc<dyn Repositories> = Arc::new(Memory::new(Arc::new(SystemClock)));
        let manager = replica(&store, &config).await;
        let user = UserId::generate();
        let conversation = begin(&manager, user, None).await;
        Self { stub, store, config, manager, user, conversation }
    }

    /// Another process on the same store: its agents are made again.
    async fn replica(&self) -> PersistenceManager {
        replica(&self.store, &self.config).await
    }

    async fn say(&self, text: &str) -> Result<TurnAnswer, AgentManagerError> {
        self.say_to(&self.manager, text).await
    }

    async fn say_to(
        &self,
        manager: &PersistenceManager,
        text: &str,
    ) -> Result<TurnAnswer, AgentManagerError> {
        manager.agent_manager().respond(self.user, self.conversation, request(text)).await
    }

    async fn turns(&self) -> Vec<Turn> {
        let agents = self.manager.agent_manager();
        let range = TurnRange::After(0);
        agents
            .get_conversation_history(self.user, self.conversation, range, PageLimit::MAX)
            .await
            .unwrap()
            .turns
    }

    /// What the model was shown when it was last asked.
    fn last_input(&self) -> Value {
        self.stub.questions().last().unwrap()["input"].clone()
    }
}

async fn replica(store: &Arc<dyn Repositories>, config: &ResponsesConfig) -> PersistenceManager {
    PersistenceManager::builder(Configuration::new(StoreConfiguration::Memory))
        .repositories(Arc::clone(store))
        .runtime(Arc::new(ResponsesRuntime::new(config.clone()).unwrap()))
        .initialize()
        .await
        .unwrap()
}

async fn begin(manager: &PersistenceManager, user: UserId, system_prompt: Option<&str>) -> ConversationId {
    let model = Text::name(MODEL, "/model_id").unwrap();
    let prompt = system_prompt.map(|prompt| Text::prompt(prompt, "/system_prompt").unwrap());
    let agent = manager.agent_manager().get_or_create_agent(user, None, model, prompt).await.unwrap();
    agent.conversation_id
}

fn request(text: &str) -> TurnRequest {
    asking(&json!([{ "role": "user", "content": text }]))
}

fn asking(messages: &Value) -> TurnRequest {
    TurnRequest::new(TurnId::generate(), Payload::from_value(messages).unwrap())
}

fn message(role: &str, content: &str) -> Value {
    json!({ "role": role, "content": content })
}

fn output(answer: &TurnAnswer) -> Value {
    answer.output_message.to_value().unwrap()
}
