//! Embeds the manager in a program: a conversation is begun, the manager is dropped, and a second one
//! goes on with the same agent.
//!
//! Run it with `cargo run -p lcs-app --example embed`.

use lcs_app::PersistenceManager;
use lcs_app::agent_manager::TurnRequest;
use lcs_app::configuration::{Configuration, StoreConfiguration};
use lcs_domain::{Payload, Text, TurnId, UserId};
use lcs_storage::sqlite::SqliteConfig;
use serde_json::json;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let store = StoreConfiguration::Sqlite(SqliteConfig::file(folder.path().join("conversations.sqlite")));
    let configuration = Configuration::new(store);
    let user = UserId::from_text("ada");

    // The first process: a new conversation.
    let manager = PersistenceManager::initialize(configuration.clone()).await?;
    let model = Text::name("echo", "/model_id")?;
    let agent = manager.agent_manager().get_or_create_agent(user, None, model, None).await?;
    let answer = manager.agent_manager().respond(user, agent.conversation_id, say("my name is Ada")?).await?;
    assert_eq!(answer.turn_number, Some(1));
    drop(manager);

    // The second one: the agent is made again from what is stored.
    let manager = PersistenceManager::initialize(configuration).await?;
    let answer =
        manager.agent_manager().respond(user, agent.conversation_id, say("what is my name?")?).await?;
    assert_eq!(answer.turn_number, Some(2));
    assert!(answer.output_message.as_json().contains("Your name is Ada."));
    Ok(())
}

/// One user message, under a new turn id. Send the same id again to retry: it is stored once.
fn say(text: &str) -> anyhow::Result<TurnRequest> {
    let said = Payload::from_value(&json!([{ "role": "user", "content": text }]))?;
    Ok(TurnRequest::new(TurnId::generate(), said))
}
