//! The agent manager over real stores: rehydration, two replicas on one store, and callers who give up.

#![cfg(test)]

mod gated;
mod rehydration;
mod replica;
mod retention;
mod retry;

use std::sync::Arc;

use lcs_app::PersistenceManager;
use lcs_app::agent_manager::{AgentManagerError, TurnAnswer, TurnRequest};
use lcs_app::configuration::{Configuration, StoreConfiguration};
use lcs_domain::agent::AgentRuntime;
use lcs_domain::{ConversationId, Payload, Repositories, SystemClock, Text, TurnId, UserId};
use lcs_storage::memory::Memory;
use serde_json::{Value, json};

/// A store that several managers, like replicas, can share.
fn shared_store() -> Arc<dyn Repositories> {
    Arc::new(Memory::new(Arc::new(SystemClock)))
}

/// A replica over `store` with echo agents.
async fn replica(store: &Arc<dyn Repositories>) -> PersistenceManager {
    configured(Configuration::new(StoreConfiguration::Memory), store).await
}

async fn configured(configuration: Configuration, store: &Arc<dyn Repositories>) -> PersistenceManager {
    PersistenceManager::builder(configuration).repositories(Arc::clone(store)).initialize().await.unwrap()
}

async fn with_runtime(store: &Arc<dyn Repositories>, runtime: Arc<dyn AgentRuntime>) -> PersistenceManager {
    PersistenceManager::builder(Configuration::new(StoreConfiguration::Memory))
        .repositories(Arc::clone(store))
        .runtime(runtime)
        .initialize()
        .await
        .unwrap()
}

async fn begin(manager: &PersistenceManager, user: UserId) -> ConversationId {
    let model = Text::name("echo", "/model_id").unwrap();
    let agent = manager.agent_manager().get_or_create_agent(user, None, model, None).await.unwrap();
    assert!(agent.created);
    agent.conversation_id
}

fn request(text: &str) -> TurnRequest {
    let said = Payload::from_value(&json!([{ "role": "user", "content": text }])).unwrap();
    TurnRequest::new(TurnId::generate(), said)
}

async fn say(
    manager: &PersistenceManager,
    user: UserId,
    conversation: ConversationId,
    text: &str,
) -> Result<TurnAnswer, AgentManagerError> {
    manager.agent_manager().respond(user, conversation, request(text)).await
}

fn text(payload: &Payload) -> String {
    let value: Value = serde_json::from_str(payload.as_json()).unwrap();
    value["content"].as_str().unwrap().to_owned()
}
