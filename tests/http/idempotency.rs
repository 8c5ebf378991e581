//! P1 over HTTP: a request that is sent again is answered with the first answer, and the model is asked once.

use http::Method;
use serde_json::json;

use crate::api::{Api, events, replicas};

const KEY: [(&str, &str); 1] = [("Idempotency-Key", "question-1")];

#[tokio::test]
async fn p1_a_question_sent_again_gets_the_first_answer_on_every_replica() {
    let replicas = replicas(2).await;
    let body = json!({ "query": "hello" });
    let first = replicas[0].send_json(Method::POST, "/v1/query", &KEY, &body).await;
    first.expect(200);
    for replica in &replicas {
        let again = replica.send_json(Method::POST, "/v1/query", &KEY, &body).await;
        assert_eq!((again.status, &again.text), (200, &first.text));
    }
    let list = replicas[1].get("/v1/conversations").await.expect(200);
    assert_eq!(list["conversations"].as_array().unwrap().len(), 1);
    assert_eq!(list["conversations"][0]["message_count"], 1);
}

#[tokio::test]
async fn p1_a_streamed_answer_is_told_again_from_the_store() {
    let api = Api::memory().await;
    let body = json!({ "query": "my name is Ada" });
    let first = api.send_json(Method::POST, "/v1/streaming_query", &KEY, &body).await;
    let again = api.send_json(Method::POST, "/v1/streaming_query", &KEY, &body).await;
    let (first, again) = (events(&first), events(&again));
    assert_eq!(first[0]["data"]["conversation_id"], again[0]["data"]["conversation_id"]);
    let told = |events: &[serde_json::Value]| -> String {
        let tokens = events.iter().filter(|event| event["event"] == "token");
        tokens.map(|event| event["data"]["token"].as_str().unwrap()).collect()
    };
    assert_eq!(told(&first), told(&again));
    assert_eq!(first.last(), again.last());
    // In one piece too: the key names the question, not the way that it is asked.
    let whole = api.send_json(Method::POST, "/v1/query", &KEY, &body).await.expect(200);
    assert_eq!(whole["response"], told(&first));
}

#[tokio::test]
async fn p1_a_key_names_one_question_of_one_user() {
    let api = Api::memory().await;
    api.send_json(Method::POST, "/v1/query", &KEY, &json!({ "query": "one" })).await.expect(200);
    let other = json!({ "query": "two" });
    let answer = api.send_json(Method::POST, "/v1/query", &KEY, &other).await.expect(422);
    assert_eq!(answer["detail"]["response"], "Idempotency key reused");
    api.send_json(Method::POST, "/v1/query?user_id=eve", &KEY, &other).await.expect(200);
    for key in ["", "x y", &"k".repeat(256)] {
        let answer =
            api.send_json(Method::POST, "/v1/query", &[("Idempotency-Key", key)], &other).await.expect(422);
        assert_eq!(answer["detail"][0]["loc"], json!(["header", "Idempotency-Key"]));
    }
}

#[tokio::test]
async fn a_question_that_was_refused_can_be_asked_again_at_once() {
    let api = Api::memory().await;
    let absent = json!({ "query": "hi", "conversation_id": "018f3a5c-7d1e-7b3a-9c55-0242ac120002" });
    for path in ["/v1/query", "/v1/streaming_query"] {
        for _ in 0..2 {
            api.send_json(Method::POST, path, &KEY, &absent).await.expect(404);
        }
    }
}

#[tokio::test]
async fn p6_the_answer_in_a_deleted_conversation_is_gone_with_it() {
    let api = Api::memory().await;
    let body = json!({ "query": "hello" });
    let first = api.send_json(Method::POST, "/v1/query", &KEY, &body).await.expect(200);
    api.delete(&format!("/v1/conversations/{}", first["conversation_id"].as_str().unwrap()))
        .await
        .expect(200);
    api.send_json(Method::POST, "/v1/query", &KEY, &body).await.expect(404);
    assert_eq!(api.get("/v1/conversations").await.expect(200), json!({ "conversations": [] }));
}
