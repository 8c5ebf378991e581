//! Section 1.3 of the contract: how refusals are answered.

use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::api::Api;

const ABSENT: &str = "018f3a5c-7d1e-7b3a-9c55-0242ac120002";

fn not_found(id: &str) -> Value {
    json!({ "detail": {
        "response": "Conversation not found",
        "cause": format!("Conversation with ID {id} does not exist"),
    } })
}

#[tokio::test]
async fn p9_a_foreign_conversation_is_answered_as_an_absent_one() {
    let api = Api::memory().await;
    let foreign = api.begin("my name is Ada").await;
    for id in [ABSENT, &foreign] {
        for version in ["v1", "v2"] {
            let path = format!("/{version}/conversations/{id}?user_id=eve");
            assert_eq!(api.get(&path).await.expect(404), not_found(id));
            assert_eq!(api.put(&path, &json!({ "topic_summary": "mine" })).await.expect(404), not_found(id));
            assert_eq!(
                api.delete(&path).await.expect(200),
                json!({
                    "deleted": false, "conversation_id": id,
                    "response": "Conversation not found", "success": true,
                })
            );
        }
        for path in ["/v1/query", "/v1/streaming_query"] {
            let body = json!({ "query": "who am I?", "conversation_id": id });
            let answer = api.post(&format!("{path}?user_id=eve"), &body).await;
            assert_eq!(answer.expect(404), not_found(id), "{path}");
        }
        let turns = format!("/v1/conversations/{id}/turns?user_id=eve");
        assert_eq!(api.get(&turns).await.expect(404), not_found(id));
        assert_eq!(api.post(&turns, &json!({ "input_messages": [] })).await.expect(404), not_found(id));
        assert_eq!(
            api.get(&format!("/v1/conversations/{id}/agent?user_id=eve")).await.expect(404),
            not_found(id)
        );
    }
    // Nothing of it reached the owner's.
    let history = api.get(&format!("/v1/conversations/{foreign}")).await.expect(200);
    assert_eq!(history["chat_history"].as_array().unwrap().len(), 1);
    assert_eq!(api.get("/v1/conversations?user_id=eve").await.expect(200), json!({ "conversations": [] }));
}

#[tokio::test]
async fn every_problem_of_a_body_is_named_as_fastapi_names_it() {
    let api = Api::memory().await;
    let body = json!({
        "conversation_id": "abc", "provider": "echo", "no_tools": "yes", "surprise": 1, "media_type": "x",
    });
    let answer = api.post("/v1/query", &body).await.expect(422);
    let problems: Vec<(String, Value)> = answer["detail"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| (problem["type"].as_str().unwrap().to_owned(), problem["loc"].clone()))
        .collect();
    let expected = [
        ("missing", json!(["body", "query"])),
        ("value_error", json!(["body", "conversation_id"])),
        ("bool_type", json!(["body", "no_tools"])),
        ("value_error", json!(["body", "media_type"])),
        ("value_error", json!(["body"])),
        ("extra_forbidden", json!(["body", "surprise"])),
    ];
    assert_eq!(problems, expected.map(|(kind, place)| (kind.to_owned(), place)));
    assert_eq!(answer["detail"][0]["msg"], "Field required");
    assert_eq!(answer["detail"][4]["msg"], "Value error, Model must be specified if provider is specified");
    assert_eq!(answer["detail"][5]["msg"], "Extra inputs are not permitted");
}

#[tokio::test]
async fn a_body_that_is_no_object_is_refused() {
    let api = Api::memory().await;
    for (content_type, body, kind) in [
        ("application/json", "", "missing"),
        ("application/json", "{", "json_invalid"),
        ("application/json", "{\"query\": \"\\ud800\"}", "json_invalid"),
        ("application/json", "[]", "model_attributes_type"),
        ("application/json", "null", "model_attributes_type"),
        ("text/plain", "{\"query\": \"hi\"}", "model_attributes_type"),
    ] {
        let request =
            Request::builder().method(Method::POST).uri("/v1/query").header("content-type", content_type);
        let answer = api.send(request.body(Body::from(body)).unwrap()).await.expect(422);
        assert_eq!(answer["detail"][0]["type"], kind, "{body}");
    }
    let deep = format!("{{\"query\": {}1{}}}", "[".repeat(200_000), "]".repeat(200_000));
    let request =
        Request::builder().method(Method::POST).uri("/v1/query").header("content-type", "application/json");
    assert_eq!(api.send(request.body(Body::from(deep)).unwrap()).await.status, 422);
}

#[tokio::test]
async fn an_unknown_path_and_a_wrong_method_are_answered_as_fastapi_does() {
    let api = Api::memory().await;
    assert_eq!(api.get("/v1/nothing").await.expect(404), json!({ "detail": "Not Found" }));
    let answer = api.delete("/v1/query").await;
    assert_eq!(answer.expect(405), json!({ "detail": "Method Not Allowed" }));
    assert!(answer.header("allow").contains("POST"), "{:?}", answer.headers);
}

#[tokio::test]
async fn an_unknown_model_is_404_before_anything_is_stored() {
    let api = Api::memory().await;
    let body = json!({ "query": "hi", "model": "gpt-9", "provider": "openai" });
    for path in ["/v1/query", "/v1/streaming_query"] {
        assert_eq!(
            api.post(path, &body).await.expect(404),
            json!({ "detail": { "response": "Model not found", "cause": "Model with ID gpt-9 does not exist" } })
        );
    }
    assert_eq!(api.get("/v1/conversations").await.expect(200), json!({ "conversations": [] }));
}

#[tokio::test]
async fn an_empty_user_is_refused() {
    let api = Api::memory().await;
    assert_eq!(
        api.get("/v1/conversations?user_id=").await.expect(400),
        json!({ "detail": "user_id cannot be empty" })
    );
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_may_not_be_kept_or_framed() {
    let api = Api::memory().await;
    for path in ["/v1/conversations", "/liveness", "/v1/nothing", "/v1/conversations/abcdef"] {
        let answer = api.get(path).await;
        assert!(!answer.header("x-request-id").is_empty(), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert!(answer.header("content-security-policy").contains("frame-ancestors 'none'"), "{path}");
    }
}
