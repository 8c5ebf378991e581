//! `POST /v1/streaming_query` as the contract has it.

use serde_json::{Value, json};

use crate::api::{Api, events};

#[tokio::test]
async fn the_events_are_the_contracts() {
    let api = Api::memory().await;
    let answer = api.post("/v1/streaming_query", &json!({ "query": "my name is Ada" })).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/event-stream; charset=utf-8");
    let events = events(&answer);
    let (id, request_id) = (&events[0]["data"]["conversation_id"], &events[0]["data"]["request_id"]);
    assert_eq!(
        events[0],
        json!({ "event": "start", "data": { "conversation_id": id, "request_id": request_id } })
    );
    let text = "I will remember that your name is Ada.";
    let words: Vec<&str> = text.split_inclusive(' ').collect();
    for (n, word) in words.iter().enumerate() {
        assert_eq!(events[n + 1], json!({ "event": "token", "data": { "id": n, "token": word } }));
    }
    assert_eq!(
        events[words.len() + 1..],
        [
            json!({ "event": "turn_complete", "data": { "id": words.len(), "token": text } }),
            json!({
                "event": "end",
                "data": { "referenced_documents": [], "truncated": null, "input_tokens": 4, "output_tokens": 8 },
                "available_quotas": {},
                // Only where it is not durable: this store is in memory.
                "persistence_durability": "volatile",
            }),
        ]
    );
    let history = api.get(&format!("/v1/conversations/{}", id.as_str().unwrap())).await.expect(200);
    assert_eq!(history["chat_history"][0]["messages"][1]["content"], text);
}

#[tokio::test]
async fn as_plain_text_it_is_the_answer() {
    let api = Api::memory().await;
    let body = json!({ "query": "my name is Ada", "media_type": "text/plain" });
    let answer = api.post("/v1/streaming_query", &body).await;
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(answer.text, "I will remember that your name is Ada.");
}

#[tokio::test]
async fn an_answer_that_has_ended_is_not_interrupted_and_a_foreign_one_is_not_there() {
    let api = Api::memory().await;
    let answer = api.post("/v1/streaming_query", &json!({ "query": "hi" })).await;
    let request_id = events(&answer)[0]["data"]["request_id"].clone();
    let absent = |id: &Value| {
        json!({ "detail": {
            "response": "Streaming Request not found",
            "cause": format!("Streaming Request with ID {} does not exist", id.as_str().unwrap()),
        } })
    };
    let interrupt = "/v1/streaming_query/interrupt";
    let own = api.post(interrupt, &json!({ "request_id": request_id })).await;
    assert_eq!(own.expect(404), absent(&request_id), "what has ended is forgotten");
    let foreign = api.post(&format!("{interrupt}?user_id=eve"), &json!({ "request_id": request_id })).await;
    assert_eq!(foreign.expect(404), absent(&request_id));
    let answer = api.post(interrupt, &json!({ "request_id": "abc" })).await.expect(422);
    assert_eq!(answer["detail"][0]["loc"], json!(["body", "request_id"]));
}
