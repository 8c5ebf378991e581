//! The conversations of a Llama Stack: read whole or not at all, and deleted there.

use std::time::Duration;

use lcs_app::llama_stack::{LlamaStack, LlamaStackConfig, turns_of};
use lcs_domain::agent::AgentFailure;
use lcs_tests::model_stub::{ModelStub, Script};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::KEY;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

fn client(stub: &ModelStub) -> LlamaStack {
    let url = stub.base_url();
    // As LCS has it: without /v1.
    let url = url.strip_suffix("/v1").unwrap();
    let config = LlamaStackConfig {
        api_key: Some(SecretString::from(KEY)),
        timeout: Duration::from_secs(20),
        ..LlamaStackConfig::new(url)
    };
    LlamaStack::new(&config).unwrap()
}

fn conversation(length: usize) -> Vec<Value> {
    let message = |n: usize| {
        let role = if n.is_multiple_of(2) { "user" } else { "assistant" };
        json!({ "type": "message", "id": format!("msg_{n}"), "role": role, "content": format!("canary {n}") })
    };
    (0..length).map(message).collect()
}

#[tokio::test]
async fn a_conversation_is_read_page_by_page() {
    let stub = ModelStub::start().await.unwrap();
    for length in [0, 1, 3, 4, 8] {
        stub.keep(&format!("conv_{ID}"), conversation(length));
        for id in [ID.to_owned(), format!("conv_{ID}")] {
            let items = client(&stub).items(&id, None).await.unwrap().unwrap();
            let turns = turns_of(&items);
            assert_eq!((items.len(), turns.len()), (length, length.div_ceil(2)));
            for (n, turn) in turns.iter().enumerate() {
                assert_eq!(turn.first_item_id, Some(format!("msg_{}", n * 2)));
                assert_eq!(turn.input_messages[0]["content"], format!("canary {}", n * 2));
            }
        }
    }
    let asked = stub.asked().pop().unwrap();
    let expected = format!("GET /v1/conversations/conv_{ID}/items?order=asc&limit=100&after=msg_5");
    assert_eq!((asked.what, asked.authorization.as_deref()), (expected, Some("Bearer canary-key")));
}

#[tokio::test]
async fn the_caller_s_own_token_is_sent() {
    let stub = ModelStub::start().await.unwrap();
    stub.keep(&format!("conv_{ID}"), conversation(2));
    let token = SecretString::from("the caller's");
    let stack = client(&stub);
    stack.items(ID, Some(&token)).await.unwrap().unwrap();
    assert!(stack.delete(ID, Some(&token)).await.unwrap());
    for asked in stub.asked() {
        assert_eq!(asked.authorization.as_deref(), Some("Bearer the caller's"), "{}", asked.what);
    }
}

#[tokio::test]
async fn what_is_not_there_is_none_and_can_be_deleted_again() {
    let stub = ModelStub::start().await.unwrap();
    let stack = client(&stub);
    assert_eq!(stack.items(ID, None).await.unwrap(), None);
    assert_eq!(stack.items("../models", None).await.unwrap(), None, "a malformed id is nobody's");
    stub.keep(&format!("conv_{ID}"), conversation(2));
    assert!(stack.delete(ID, None).await.unwrap());
    assert!(!stub.has(&format!("conv_{ID}")));
    assert!(!stack.delete(ID, None).await.unwrap());
}

#[tokio::test]
async fn a_history_that_cannot_be_read_is_unavailable_and_never_empty() {
    let stub = ModelStub::start().await.unwrap();
    stub.keep(&format!("conv_{ID}"), conversation(2));
    let stack = client(&stub);
    let page =
        |has_more: bool, items: Vec<Value>| Script::json(&json!({ "data": items, "has_more": has_more }));
    for (script, says) in [
        (Script::status(500, &json!({ "data": [] })), "refuses or fails (500)"),
        (Script::status(401, &json!({})), "refuses or fails (401)"),
        (Script::status(429, &json!({})), "refuses or fails (429)"),
        (Script::status(302, &json!({})), "refuses or fails (302)"),
        (Script::json(&json!({ "canary": [] })), "sent what is no list of items"),
        (Script::json(&json!("canary")), "sent what is no list of items"),
        (Script::breaks_after("canary"), "ended its answer in the middle"),
        // The same page over and over: a server that does not know `after`.
        (page(true, conversation(2)), "does not give the items page by page"),
        (page(false, conversation(100)), "does not give the items page by page"),
        (page(true, Vec::new()), "does not give the items page by page"),
        (page(true, vec![json!({ "type": "message" })]), "sent an item without an id"),
    ] {
        stub.conversations_answer(script);
        let error = stack.items(ID, None).await.unwrap_err();
        assert_eq!(error.failure, AgentFailure::Unavailable, "{says}");
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(says) && !shown.contains("canary"), "{says}: {shown}");
    }
    stub.conversations_answer(Script::status(500, &json!({})));
    assert_eq!(stack.delete(ID, None).await.unwrap_err().failure, AgentFailure::Unavailable);
    assert!(stub.has(&format!("conv_{ID}")));
}

#[tokio::test]
async fn a_llama_stack_that_is_down_or_silent_is_unavailable() {
    let stub = ModelStub::start().await.unwrap();
    stub.conversations_answer(Script::never());
    let timeout = Duration::from_millis(300);
    let silent = LlamaStackConfig { timeout, ..LlamaStackConfig::new(stub.base_url()) };
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let down = LlamaStackConfig::new(format!("http://{free}"));
    for config in [silent, down] {
        let stack = LlamaStack::new(&config).unwrap();
        assert_eq!(stack.items(ID, None).await.unwrap_err().failure, AgentFailure::Unavailable);
        assert_eq!(stack.delete(ID, None).await.unwrap_err().failure, AgentFailure::Unavailable);
    }
}
