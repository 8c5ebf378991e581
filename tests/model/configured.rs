//! A manager whose model is the configured one.

use std::sync::Arc;

use lcs_app::PersistenceManager;
use lcs_app::configuration::Configuration;
use lcs_domain::{Repositories, SystemClock, UserId};
use lcs_storage::memory::Memory;
use lcs_tests::model_stub::ModelStub;
use serde_json::json;

use super::{begin, message, output, request};

async fn manager(yaml: &str, store: &Arc<dyn Repositories>) -> PersistenceManager {
    let configuration = Configuration::from_yaml(yaml, &|_| None).unwrap();
    PersistenceManager::builder(configuration).repositories(Arc::clone(store)).initialize().await.unwrap()
}

fn store() -> Arc<dyn Repositories> {
    Arc::new(Memory::new(Arc::new(SystemClock)))
}

#[tokio::test]
async fn the_configured_model_answers_and_is_shown_as_many_turns_as_configured() {
    let stub = ModelStub::start().await.unwrap();
    let yaml = format!(
        "persistence: {{type: memory, recent_turns: 2, model: {{base_url: \"{}\", model: stub, history_turns: 30}}}}",
        stub.base_url()
    );
    let (store, user) = (store(), UserId::generate());
    let live = manager(&yaml, &store).await;
    assert_eq!(live.runtime().models().await.unwrap()[0].name, "stub");
    let conversation = begin(&live, user, None).await;
    for n in 0..25 {
        live.agent_manager().respond(user, conversation, request(&format!("{n}"))).await.unwrap();
    }
    let shown = |question: usize| stub.questions()[question]["input"].as_array().unwrap().len();
    assert_eq!(shown(24), 49);
    let again = manager(&yaml, &store).await;
    again.agent_manager().respond(user, conversation, request("25")).await.unwrap();
    assert_eq!(shown(25), 51, "more than recent_turns says");
}

#[tokio::test]
async fn a_conversation_with_the_built_in_agent_goes_on_with_a_model() {
    let stub = ModelStub::start().await.unwrap();
    let (store, user) = (store(), UserId::generate());
    let echo = manager("persistence: {type: memory}", &store).await;
    let conversation = {
        let model = lcs_domain::Text::name("echo", "").unwrap();
        echo.agent_manager().get_or_create_agent(user, None, model, None).await.unwrap().conversation_id
    };
    echo.agent_manager().respond(user, conversation, request("my name is Ada")).await.unwrap();
    let yaml = format!("persistence: {{model: {{base_url: \"{}\", model: stub}}}}", stub.base_url());
    let real = manager(&yaml, &store).await;
    let answer = real.agent_manager().respond(user, conversation, request("who am I?")).await.unwrap();
    assert_eq!(output(&answer), message("assistant", "You said: who am I? (message 3)"));
    let body = stub.questions().pop().unwrap();
    assert_eq!(body["model"], "stub");
    assert_eq!(body["input"][1], message("assistant", "I will remember that your name is Ada."));
    assert_eq!(stub.asked().len(), 1, "{}", json!(stub.asked().len()));
}

#[tokio::test]
async fn certificates_that_cannot_be_read_are_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, "none").unwrap();
    let yaml = format!(
        "persistence: {{model: {{base_url: \"https://h/v1\", model: m, ca_cert_path: {}}}}}",
        file.display()
    );
    let configuration = Configuration::from_yaml(&yaml, &|_| None).unwrap();
    let builder = PersistenceManager::builder(configuration).repositories(store());
    let error = builder.initialize().await.unwrap_err().to_string();
    assert!(error.contains("ca.pem holds no certificate authority"), "{error}");
}
