//! `POST /v1/query` as the contract has it.

use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::api::Api;

#[tokio::test]
async fn an_answer_has_the_contracts_keys_in_the_contracts_order() {
    let api = Api::memory().await;
    let answer = api.post("/v1/query", &json!({ "query": "my favourite colour is teal" })).await;
    let body = answer.expect(200);
    let id = body["conversation_id"].as_str().unwrap();
    let expected = format!(
        "{{\"conversation_id\":\"{id}\",\"response\":\"I will remember that your favourite colour is teal.\",\
         \"rag_chunks\":[],\"referenced_documents\":[],\"truncated\":false,\"input_tokens\":5,\"output_tokens\":9,\
         \"available_quotas\":{{}},\"tool_calls\":[],\"tool_results\":[]}}"
    );
    assert_eq!(answer.text, expected);
    assert_eq!(answer.header("persistence-durability"), "volatile", "a store in memory is what it is");
}

#[tokio::test]
async fn a_conversation_goes_on() {
    let api = Api::memory().await;
    let id = api.begin("my favourite colour is teal").await;
    let body = json!({ "query": "what is my favourite colour?", "conversation_id": id });
    let answer = api.post("/v1/query", &body).await.expect(200);
    assert_eq!(answer["conversation_id"], id);
    assert_eq!(answer["response"], "Your favourite colour is teal.");
}

#[tokio::test]
async fn every_field_of_the_contract_is_taken() {
    let api = Api::memory().await;
    let body = json!({
        "query": "", "provider": "echo", "model": "echo", "system_prompt": "be brief", "no_tools": true,
        "generate_topic_summary": false, "media_type": "application/json", "vector_store_ids": ["a"],
        "shield_ids": [], "solr": {"fq": ["x"]}, "conversation_id": null,
        "attachments": [{ "attachment_type": "log", "content_type": "text/plain", "content": "it broke" }],
    });
    let answer = api.post("/v1/query", &body).await.expect(200);
    let id = answer["conversation_id"].as_str().unwrap();
    let list = api.get("/v1/conversations").await.expect(200);
    assert_eq!(list["conversations"][0]["conversation_id"], id);
    assert_eq!(list["conversations"][0]["topic_summary"], "", "none was asked for");
    let turns = api.get(&format!("/v1/conversations/{id}/turns")).await.expect(200);
    assert_eq!(turns["turns"][0]["input_messages"][0]["attachments"][0]["content"], "it broke");
    assert_eq!(turns["turns"][0]["metadata"]["lcs:model"], "echo");
    assert_eq!(turns["turns"][0]["metadata"]["lcs:input_tokens"], 0);
}

#[tokio::test]
async fn attachments_of_unknown_kinds_are_refused() {
    let api = Api::memory().await;
    for (kind, content_type) in [("poem", "text/plain"), ("log", "text/html")] {
        let attachment = json!({ "attachment_type": kind, "content_type": content_type, "content": "x" });
        let answer =
            api.post("/v1/query", &json!({ "query": "hi", "attachments": [attachment] })).await.expect(422);
        assert_eq!(answer["detail"]["response"], "Invalid attribute value");
    }
}

#[tokio::test]
async fn a_topic_is_found_and_kept_apart_from_the_users_own() {
    let api = Api::memory().await;
    let id = api.begin("why do my pods not start?").await;
    let topic = |list: &Value| list["conversations"][0]["topic_summary"].clone();
    assert_eq!(topic(&api.get("/v1/conversations").await.expect(200)), "why do my pods not start?");
    api.put(&format!("/v1/conversations/{id}"), &json!({ "topic_summary": "Pods" })).await.expect(200);
    let body = json!({ "query": "and now?", "conversation_id": id });
    api.post("/v1/query", &body).await.expect(200);
    assert_eq!(topic(&api.get("/v2/conversations").await.expect(200)), "Pods");
}

#[tokio::test]
async fn p10_what_was_asked_is_kept_exactly() {
    let api = Api::memory().await;
    let question = "a\u{0}b \u{1F600} \u{FFFF} \\ \" \n";
    let id = api.begin(question).await;
    let history = api.get(&format!("/v1/conversations/{id}")).await.expect(200);
    assert_eq!(history["chat_history"][0]["messages"][0]["content"], question);
}

#[tokio::test]
async fn a_question_longer_than_a_document_may_be_is_413_and_leaves_nothing() {
    let api = Api::memory().await;
    let body = json!({ "query": "x".repeat(4 * 1024 * 1024 + 1) });
    let answer = api.post("/v1/query", &body).await.expect(413);
    assert!(answer["detail"]["cause"].as_str().unwrap().contains("too large"), "{answer}");
    assert_eq!(api.get("/v1/conversations").await.expect(200), json!({ "conversations": [] }));
    let request =
        Request::builder().method(Method::POST).uri("/v1/query").header("content-type", "application/json");
    let answer = api.send(request.body(Body::from(vec![b' '; 64 * 1024 * 1024])).unwrap()).await;
    assert_eq!(answer.expect(413)["detail"]["response"], "Request body too large");
}
