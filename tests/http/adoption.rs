//! Conversations that only Llama Stack knows.

use serde_json::{Value, json};

use lcs_tests::model_stub::Script;

use crate::model::Scene;

const HEX: &str = "7b63a1c4e5f60718293a4b5c6d7e8f901122334455667788";

fn items() -> Vec<Value> {
    let message = |id: &str, role: &str, kind: &str, text: &str| {
        json!({
            "type": "message", "id": id, "role": role, "status": "completed",
            "content": [{ "type": kind, "text": text }],
        })
    };
    vec![
        message("msg_1", "user", "input_text", "my name is Ada"),
        message("msg_2", "assistant", "output_text", "Hello Ada"),
    ]
}

async fn scene() -> Scene {
    let scene = Scene::with_replicas(2).await;
    scene.stub.keep(&format!("conv_{HEX}"), items());
    scene
}

#[tokio::test]
async fn a_conversation_of_llama_stack_is_shown_and_not_stored() {
    let Scene { replicas, stub } = scene().await;
    for version in ["v1", "v2"] {
        for id in [HEX.to_owned(), format!("conv_{HEX}")] {
            let history = replicas[0].get(&format!("/{version}/conversations/{id}")).await.expect(200);
            assert_eq!(
                history,
                json!({ "conversation_id": HEX, "chat_history": [{
                    "messages": [
                        { "content": "my name is Ada", "type": "user", "referenced_documents": null },
                        { "content": "Hello Ada", "type": "assistant", "referenced_documents": null },
                    ],
                    "tool_calls": [], "tool_results": [], "provider": "N/A", "model": "N/A",
                    "started_at": "1970-01-01T00:00:00Z", "completed_at": "1970-01-01T00:00:00Z",
                }] })
            );
        }
    }
    assert_eq!(replicas[0].get("/v1/conversations").await.expect(200), json!({ "conversations": [] }));
    assert!(stub.has(&format!("conv_{HEX}")));
    let other = HEX.replace('7', "8");
    replicas[0].get(&format!("/v1/conversations/{other}")).await.expect(404);
}

#[tokio::test]
async fn going_on_with_it_adopts_it_whole_and_the_model_sees_what_was_said() {
    let Scene { stub, replicas } = scene().await;
    for (replica, path) in replicas.iter().zip(["/v1/query", "/v1/streaming_query"]) {
        stub.next(Script::says("You are Ada"));
        let body = json!({ "query": "who am I?", "conversation_id": format!("conv_{HEX}") });
        assert_eq!(replica.post(path, &body).await.status, 200);
        let shown = stub.questions().last().unwrap()["input"].to_string();
        assert!(shown.contains("my name is Ada") && shown.contains("Hello Ada"), "{shown}");
    }
    let page = replicas[0].get(&format!("/v1/conversations/{HEX}/turns")).await.expect(200);
    assert_eq!(page["turn_count"], 3, "adopted once, by two");
    let list = replicas[1].get("/v1/conversations").await.expect(200);
    assert_eq!(list["conversations"][0]["conversation_id"], HEX);
}

#[tokio::test]
async fn p6_deleting_it_here_deletes_it_there_and_it_never_comes_back() {
    let Scene { stub, replicas } = scene().await;
    let path = format!("/v1/conversations/{HEX}");
    let body = json!({ "query": "who am I?", "conversation_id": HEX });
    stub.next(Script::says("You are Ada"));
    replicas[0].post("/v1/query", &body).await.expect(200);
    assert_eq!(replicas[1].delete(&path).await.expect(200)["deleted"], true);
    assert!(!stub.has(&format!("conv_{HEX}")));
    // Somebody brings it back there: here it stays deleted.
    stub.keep(&format!("conv_{HEX}"), items());
    for replica in &replicas {
        replica.get(&path).await.expect(404);
        replica.post("/v1/query", &body).await.expect(404);
        replica.post("/v1/streaming_query", &body).await.expect(404);
    }
    // One that was never here is deleted there alone.
    let other = HEX.replace('7', "8");
    stub.keep(&format!("conv_{other}"), items());
    let path = format!("/v1/conversations/{other}");
    assert_eq!(replicas[0].delete(&path).await.expect(200)["deleted"], true);
    assert!(!stub.has(&format!("conv_{other}")));
    assert_eq!(replicas[0].delete(&path).await.expect(200)["deleted"], false);
}

#[tokio::test]
async fn p8_a_llama_stack_that_is_down_is_503_and_never_an_empty_history() {
    let Scene { stub, replicas } = scene().await;
    stub.conversations_answer(Script::status(500, &json!({})));
    let path = format!("/v1/conversations/{HEX}");
    let answer = replicas[0].get(&path).await;
    assert_eq!(answer.expect(503)["detail"]["response"], "Unable to connect to OGX");
    let body = json!({ "query": "who am I?", "conversation_id": HEX });
    for path in ["/v1/query", "/v1/streaming_query"] {
        replicas[0].post(path, &body).await.expect(503);
    }
    replicas[0].delete(&path).await.expect(503);
}

#[tokio::test]
async fn p9_without_a_token_of_his_own_nobody_is_shown_what_is_others_there() {
    let Scene { stub, replicas } = scene().await;
    let path = format!("/v1/conversations/{HEX}?user_id=eve");
    replicas[0].get(&path).await.expect(404);
    assert_eq!(replicas[0].delete(&path).await.expect(200)["deleted"], false);
    let body = json!({ "query": "who am I?", "conversation_id": HEX });
    replicas[0].post("/v1/query?user_id=eve", &body).await.expect(404);
    assert!(stub.has(&format!("conv_{HEX}")) && stub.asked().is_empty(), "it was not even asked");
    // With one, Llama Stack decides.
    let token = [("Authorization", "Bearer eves")];
    replicas[0].call(http::Method::GET, &path, &token).await.expect(200);
    assert_eq!(stub.asked()[0].authorization.as_deref(), Some("Bearer eves"));
}

#[tokio::test]
async fn a_conversation_of_ours_is_no_concern_of_llama_stacks() {
    let Scene { stub, replicas } = scene().await;
    stub.next(Script::says("hello"));
    let begun = replicas[0].post("/v1/query", &json!({ "query": "hi" })).await.expect(200);
    stub.conversations_answer(Script::status(500, &json!({})));
    let path = format!("/v1/conversations/{}", begun["conversation_id"].as_str().unwrap());
    replicas[0].get(&path).await.expect(200);
    assert_eq!(replicas[0].delete(&path).await.expect(200)["deleted"], true);
}
