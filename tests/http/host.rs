//! What hosts with models of their own need: conversations, turns and agent states as they are stored.

use http::Method;
use serde_json::{Value, json};

use crate::api::Api;

async fn made(api: &Api) -> (String, String) {
    let made = api.post("/v1/conversations", &json!({ "model_id": "gpt" })).await.expect(201);
    let text = |key: &str| made[key].as_str().unwrap().to_owned();
    (text("conversation_id"), text("agent_id"))
}

#[tokio::test]
async fn p1_a_conversation_is_made_once_under_its_key() {
    let api = Api::memory().await;
    let key = [("Idempotency-Key", "begin-1")];
    let body = json!({ "model_id": "gpt", "system_prompt": "be kind", "metadata": { "ticket": 7 } });
    let first = api.send_json(Method::POST, "/v1/conversations", &key, &body).await.expect(201);
    let again = api.send_json(Method::POST, "/v1/conversations", &key, &body).await.expect(201);
    assert_eq!(first, again);
    assert_eq!(first["metadata"], json!({ "ticket": 7 }));
    assert_eq!((&first["turn_count"], &first["status"]), (&json!(0), &json!("active")));
    let other = json!({ "model_id": "another" });
    api.send_json(Method::POST, "/v1/conversations", &key, &other).await.expect(409);
    // Another user's key is another key.
    let theirs = api.send_json(Method::POST, "/v1/conversations?user_id=eve", &key, &body).await.expect(201);
    assert_ne!(theirs["conversation_id"], first["conversation_id"]);
}

#[tokio::test]
async fn p1_a_turn_is_stored_once_under_its_key() {
    let api = Api::memory().await;
    let (id, _) = made(&api).await;
    let path = format!("/v1/conversations/{id}/turns");
    let key = [("Idempotency-Key", "turn-1")];
    let turn = json!({ "input_messages": "hello", "output_message": { "content": "hi" }, "metadata": { "model": "gpt" } });
    let first = api.send_json(Method::POST, &path, &key, &turn).await.expect(201);
    let again = api.send_json(Method::POST, &path, &key, &turn).await.expect(200);
    assert_eq!((&first["turn_number"], &first["replayed"]), (&json!(1), &json!(false)));
    assert_eq!((&again["turn_number"], &again["replayed"]), (&json!(1), &json!(true)));
    assert_eq!(first["turn_id"], again["turn_id"]);
    let other = json!({ "input_messages": "something else" });
    api.send_json(Method::POST, &path, &key, &other).await.expect(422);
    // The key may stand in the body too, and the body's is the one that counts.
    let named = json!({ "input_messages": "x", "turn_id": "018f3a5c-7d1e-7b3a-9c55-0242ac120002" });
    let stored = api.send_json(Method::POST, &path, &key, &named).await.expect(201);
    assert_eq!(stored["turn_number"], 2);
    assert_eq!(api.post(&path, &named).await.expect(200)["turn_id"], stored["turn_id"]);
    // P9: it is good among the caller's own turns alone, and says nothing of another's.
    let theirs = api.post("/v1/conversations?user_id=eve", &json!({})).await.expect(201);
    let theirs =
        format!("/v1/conversations/{}/turns?user_id=eve", theirs["conversation_id"].as_str().unwrap());
    let other = json!({ "input_messages": "another", "turn_id": named["turn_id"] });
    assert_ne!(api.post(&theirs, &other).await.expect(201)["turn_id"], stored["turn_id"]);
    // A question under the same key is another thing than a turn.
    api.send_json(Method::POST, "/v1/query", &key, &json!({ "query": "hi" })).await.expect(200);
    let history = api.get(&format!("/v1/conversations/{id}")).await.expect(200);
    assert_eq!(history["chat_history"][0]["model"], "gpt");
    assert_eq!(history["chat_history"][0]["provider"], "N/A");
}

#[tokio::test]
async fn p10_documents_come_back_as_they_were_sent() {
    let api = Api::memory().await;
    let (id, _) = made(&api).await;
    let path = format!("/v1/conversations/{id}/turns");
    let input =
        json!({ "n": 18_446_744_073_709_551_615_u64, "f": 0.1, "nul": "a\u{0}b", "list": [null, true] });
    api.post(&path, &json!({ "input_messages": input, "output_message": null })).await.expect(201);
    let page = api.get(&path).await.expect(200);
    assert_eq!(page["turns"][0]["input_messages"], input);
    assert_eq!(page["turns"][0]["output_message"], Value::Null);
    // What would be rounded is refused, with its place, in metadata too.
    for place in [path.as_str(), "/v1/conversations"] {
        let request = http::Request::builder()
            .method(Method::POST)
            .uri(place)
            .header("content-type", "application/json");
        let input = if place == path { "\"input_messages\": 1, " } else { "" };
        let body = format!("{{{input}\"metadata\": {{\"n\": 123456789012345678901234567890}}}}");
        let answer = api.send(request.body(axum::body::Body::from(body)).unwrap()).await.expect(422);
        assert!(answer["detail"]["cause"].as_str().unwrap().contains("/metadata/n"), "{answer}");
    }
    let request =
        http::Request::builder().method(Method::POST).uri(&path).header("content-type", "application/json");
    let body = "{\"input_messages\": {\"n\": 123456789012345678901234567890}}";
    let answer = api.send(request.body(axum::body::Body::from(body)).unwrap()).await.expect(422);
    assert!(answer["detail"]["cause"].as_str().unwrap().contains("/input_messages/n"), "{answer}");
}

#[tokio::test]
async fn p4_a_turn_and_its_state_are_stored_together_or_not_at_all() {
    let api = Api::memory().await;
    let (id, agent) = made(&api).await;
    let path = format!("/v1/conversations/{id}/turns");
    let turn = |count: u32, revision: u64| {
        json!({ "input_messages": "x", "expected_turn_count": count, "agent_state": {
            "agent_id": agent, "agent_config": { "kind": "mine" }, "current_state": { "seen": count + 1 },
            "expected_revision": revision,
        } })
    };
    let stored = api.post(&path, &turn(0, 0)).await.expect(201);
    assert_eq!((&stored["turn_number"], &stored["state_revision"]), (&json!(1), &json!(1)));
    for stale in [turn(0, 1), turn(1, 0)] {
        api.post(&path, &stale).await.expect(409);
    }
    let state = api.get(&format!("/v1/agents/{agent}/state")).await;
    assert_eq!(state.header("etag"), "\"1\"");
    assert_eq!(state.expect(200)["current_state"], json!({ "seen": 1 }));
    assert_eq!(api.get(&path).await.expect(200)["turn_count"], 1);
    let mut incomplete = turn(1, 1);
    incomplete["agent_state"] = json!({ "agent_id": "x" });
    let answer = api.post(&path, &incomplete).await.expect(422);
    assert_eq!(answer["detail"][0]["loc"], json!(["body", "agent_state", "agent_id"]));
}

#[tokio::test]
async fn p4_a_state_is_stored_from_the_revision_that_its_tag_names() {
    let api = Api::memory().await;
    let (id, agent) = made(&api).await;
    let path = format!("/v1/agents/{agent}/state");
    let state = |n: u32| json!({ "conversation_id": id, "current_state": n, "through_turn": 0 });
    api.get(&path).await.expect(404);
    let none = api.get(&format!("/v1/conversations/{id}/agent")).await;
    assert_eq!(none.header("etag"), "\"0\"");
    assert_eq!(none.expect(200)["agent_id"], agent);
    api.put(&path, &state(0)).await.expect(428);
    let first = api.send_json(Method::PUT, &path, &[("If-None-Match", "*")], &state(1)).await;
    assert_eq!((first.expect(200)["revision"].clone(), first.header("etag")), (json!(1), "\"1\""));
    api.send_json(Method::PUT, &path, &[("If-None-Match", "*")], &state(2)).await.expect(412);
    let second = api.send_json(Method::PUT, &path, &[("If-Match", "\"1\"")], &state(2)).await;
    assert_eq!(second.header("etag"), "\"2\"");
    for stale in ["\"1\"", "\"3\"", "abc", "W/\"2\""] {
        api.send_json(Method::PUT, &path, &[("If-Match", stale)], &state(3)).await.expect(412);
    }
    let agent_of = api.get(&format!("/v1/conversations/{id}/agent")).await;
    assert_eq!(agent_of.header("etag"), "\"2\"");
    assert_eq!(agent_of.expect(200)["state"]["current_state"], 2);
    // P9: nobody else reads, writes or deletes it.
    api.get(&format!("{path}?user_id=eve")).await.expect(404);
    let theirs = format!("{path}?user_id=eve");
    api.send_json(Method::PUT, &theirs, &[("If-Match", "\"2\"")], &state(9)).await.expect(404);
    assert_eq!(api.delete(&theirs).await.expect(200)["deleted"], false);
    assert_eq!(api.delete(&path).await.expect(200)["deleted"], true);
    assert_eq!(api.delete(&path).await.expect(200)["deleted"], false);
    let gone = api.get(&format!("/v1/conversations/{id}/agent")).await;
    let tag = gone.header("etag").to_owned();
    assert_eq!(gone.expect(200)["state"], Value::Null);
    // The revision that the answer names is the one to go on from.
    let anew = api.send_json(Method::PUT, &path, &[("If-Match", &tag)], &state(4)).await;
    assert!(anew.expect(200)["revision"].as_u64() > Some(2), "a revision never names two states");
}

#[tokio::test]
async fn turns_are_read_in_both_directions() {
    let api = Api::memory().await;
    let (id, _) = made(&api).await;
    let path = format!("/v1/conversations/{id}/turns");
    for n in 1..=5 {
        api.post(&path, &json!({ "input_messages": n })).await.expect(201);
    }
    let numbers = async |query: &str| -> (Vec<u64>, bool, bool) {
        let page = api.get(&format!("{path}?{query}")).await.expect(200);
        let numbers =
            page["turns"].as_array().unwrap().iter().map(|turn| turn["turn_number"].as_u64().unwrap());
        (numbers.collect(), page["has_earlier"] == true, page["has_later"] == true)
    };
    assert_eq!(numbers("limit=2").await, (vec![4, 5], true, false));
    assert_eq!(numbers("after=0&limit=2").await, (vec![1, 2], false, true));
    assert_eq!(numbers("after=2&limit=2").await, (vec![3, 4], true, true));
    assert_eq!(numbers("before=4&limit=2").await, (vec![2, 3], true, true));
    assert_eq!(numbers("after=5").await, (vec![], false, false));
    for query in ["after=x", "before=-1", "after=1&before=3", "limit=201"] {
        api.get(&format!("{path}?{query}")).await.expect(422);
    }
}

#[tokio::test]
async fn a_host_may_only_name_conversations_as_other_systems_do() {
    let api = Api::memory().await;
    for id in ["018f3a5c-7d1e-7b3a-9c55-0242ac120002", "abc", ""] {
        let answer = api.post("/v1/conversations", &json!({ "conversation_id": id })).await.expect(422);
        assert_eq!(answer["detail"][0]["loc"], json!(["body", "conversation_id"]));
    }
    for body in [
        json!({ "metadata": { "lcs:model": "forged" } }),
        json!({ "metadata": [] }),
        json!({ "model_id": "" }),
        json!({ "model_id": "a\u{0}" }),
        json!({ "topic_summary": 1 }),
        json!({ "unknown": 1 }),
    ] {
        api.post("/v1/conversations", &body).await.expect(422);
    }
}
