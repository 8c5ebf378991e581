//! Lists and histories of both versions, over one store.

use lcs_domain::{Actor, HoldTarget, NewHold, Text};
use serde_json::{Value, json};

use crate::api::Api;

#[tokio::test]
async fn lists_are_newest_first_and_have_the_contracts_keys() {
    let api = Api::memory().await;
    let first = api.begin("one").await;
    let second = api.begin("two").await;
    api.post("/v1/query", &json!({ "query": "again", "conversation_id": first })).await.expect(200);
    let list = api.get("/v1/conversations").await.expect(200);
    let items = list["conversations"].as_array().unwrap();
    let ids: Vec<&str> = items.iter().map(|item| item["conversation_id"].as_str().unwrap()).collect();
    assert_eq!(ids, [first.as_str(), second.as_str()]);
    let keys: Vec<&String> = items[0].as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "conversation_id",
            "created_at",
            "last_message_at",
            "last_used_model",
            "last_used_provider",
            "message_count",
            "topic_summary"
        ]
    );
    assert_eq!(items[0]["message_count"], 2);
    assert_eq!(
        (&items[0]["last_used_model"], &items[0]["last_used_provider"]),
        (&json!("echo"), &json!("echo"))
    );
    assert!(items[0]["created_at"].as_str().unwrap().ends_with("+00:00"), "{list}");
    let v2 = api.get("/v2/conversations").await.expect(200);
    assert_eq!(v2["conversations"][1]["conversation_id"], second);
    assert_eq!(v2["conversations"][1]["topic_summary"], "two");
    assert!(v2["conversations"][0]["last_message_timestamp"].is_f64());
    assert_eq!(v2.as_object().unwrap().len(), 1, "without a limit it is the contract's answer");
}

#[tokio::test]
async fn a_list_with_a_query_is_of_those_that_have_its_words() {
    let api = Api::memory().await;
    let mut pods = Vec::new();
    for name in ["one", "two", "three"] {
        pods.insert(0, api.begin(&format!("why does pod web-{name} restart")).await);
        api.begin("the disk is full").await;
    }
    for version in ["v1", "v2"] {
        let ask = async |parameters: &str| {
            let page = api.get(&format!("/{version}/conversations?{parameters}")).await.expect(200);
            let found = page["conversations"].as_array().unwrap().clone();
            let ids: Vec<String> =
                found.iter().map(|item| item["conversation_id"].as_str().unwrap().to_owned()).collect();
            (ids, page["next_cursor"].as_str().map(str::to_owned))
        };
        assert_eq!(ask("query=RESTART%20pod").await, (pods.clone(), None));
        assert_eq!(ask("query=web-two").await, (vec![pods[1].clone()], None));
        assert_eq!(ask("query=nothing").await, (vec![], None));
        let (first, cursor) = ask("query=pod&limit=2").await;
        assert_eq!(first, pods[..2]);
        let rest = ask(&format!("query=pod&cursor={}", cursor.unwrap())).await;
        assert_eq!(rest, (vec![pods[2].clone()], None));
        for refused in ["query=", "query=%20-%20", &format!("query={}", "a+".repeat(17))] {
            let answer = api.get(&format!("/{version}/conversations?{refused}")).await.expect(422);
            assert!(answer.to_string().contains("write 1 to 16 words"), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_list_comes_page_by_page_where_that_is_asked_for() {
    let api = Api::memory().await;
    let mut begun = Vec::new();
    for n in 0..5 {
        begun.insert(0, api.begin(&format!("question {n}")).await);
    }
    for version in ["v1", "v2"] {
        let (mut seen, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let at = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let page = api.get(&format!("/{version}/conversations?limit=2{at}")).await.expect(200);
            for item in page["conversations"].as_array().unwrap() {
                seen.push(item["conversation_id"].as_str().unwrap().to_owned());
            }
            match &page["next_cursor"] {
                Value::Null => break,
                next => cursor = Some(next.as_str().unwrap().to_owned()),
            }
        }
        assert_eq!(seen, begun);
    }
    for query in
        ["limit=0", "limit=201", "limit=x", "cursor=abc&limit=2", "cursor=1_018f3a5c7d1e7b3a9c550242ac120002"]
    {
        api.get(&format!("/v1/conversations?{query}")).await.expect(422);
    }
}

#[tokio::test]
async fn a_history_has_the_contracts_shape() {
    let api = Api::memory().await;
    let id = api.begin("my name is Ada").await;
    for version in ["v1", "v2"] {
        let history = api.get(&format!("/{version}/conversations/{id}")).await.expect(200);
        let turn = &history["chat_history"][0];
        let (started_at, completed_at) = (&turn["started_at"], &turn["completed_at"]);
        assert!(started_at.as_str().unwrap().ends_with('Z'));
        assert_eq!(
            history,
            json!({ "conversation_id": id, "chat_history": [{
                "messages": [
                    { "content": "my name is Ada", "type": "user", "referenced_documents": null },
                    {
                        "content": "I will remember that your name is Ada.",
                        "type": "assistant", "referenced_documents": null,
                    },
                ],
                "tool_calls": [], "tool_results": [], "provider": "echo", "model": "echo",
                "started_at": started_at, "completed_at": completed_at,
            }] })
        );
    }
}

#[tokio::test]
async fn a_long_history_is_whole_and_in_order() {
    let api = Api::memory().await;
    let id = api.begin("0").await;
    for n in 1..53 {
        let turn = json!({ "input_messages": [{ "role": "user", "content": n.to_string() }] });
        api.post(&format!("/v1/conversations/{id}/turns"), &turn).await.expect(201);
    }
    let history = api.get(&format!("/v1/conversations/{id}")).await.expect(200);
    let said: Vec<String> = history["chat_history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|turn| turn["messages"][0]["content"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(said, (0..53).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_one_version_changes_the_other_shows() {
    let api = Api::memory().await;
    let id = api.begin("hello").await;
    for (writer, reader) in [("v1", "v2"), ("v2", "v1")] {
        let path = format!("/{writer}/conversations/{id}");
        assert_eq!(
            api.put(&path, &json!({ "topic_summary": writer })).await.expect(200),
            json!({ "conversation_id": id, "success": true, "message": "Topic summary updated successfully" })
        );
        let list = api.get(&format!("/{reader}/conversations")).await.expect(200);
        assert_eq!(list["conversations"][0]["topic_summary"], writer);
    }
    assert_eq!(
        api.delete(&format!("/v2/conversations/{id}")).await.expect(200),
        json!({
            "deleted": true, "conversation_id": id,
            "response": "Conversation deleted successfully", "success": true,
        })
    );
    for version in ["v1", "v2"] {
        assert_eq!(api.get(&format!("/{version}/conversations/{id}")).await.status, 404);
        assert_eq!(
            api.get(&format!("/{version}/conversations")).await.expect(200),
            json!({ "conversations": [] })
        );
    }
    assert_eq!(api.delete(&format!("/v1/conversations/{id}")).await.expect(200)["deleted"], false);
}

#[tokio::test]
async fn a_topic_has_1_to_1000_characters() {
    let api = Api::memory().await;
    let id = api.begin("hello").await;
    let path = format!("/v1/conversations/{id}");
    api.put(&path, &json!({ "topic_summary": "\u{e9}".repeat(1000) })).await.expect(200);
    for (topic, kind) in [
        (json!(""), "string_too_short"),
        (json!("x".repeat(1001)), "string_too_long"),
        (json!(1), "string_type"),
        (json!("a\u{0}b"), "value_error"),
    ] {
        let answer = api.put(&path, &json!({ "topic_summary": topic })).await.expect(422);
        assert_eq!(answer["detail"][0]["type"], kind);
    }
    let answer = api.put(&path, &json!({ "topic_summary": "x", "more": 1 })).await.expect(422);
    assert_eq!(answer["detail"][0]["type"], "extra_forbidden");
}

#[tokio::test]
async fn nobody_learns_of_a_hold_by_when_their_conversation_ends() {
    let api = Api::memory().await;
    let id = api.begin("one").await;
    let expiry = async || api.get(&format!("/v1/conversations/{id}/expiry")).await.expect(200);
    let before = expiry().await;
    assert!(before["expires_at"].is_string(), "{before}");
    let repositories = api.service.manager().repositories();
    let target = HoldTarget::Conversation(id.parse().unwrap());
    let reason = Text::name("matter 7", "/reason").unwrap();
    repositories.holds().place(NewHold::on(target, reason, Actor::operator("ada"))).await.unwrap();
    assert_eq!(expiry().await, before);
}
