//! Section 1.1 of the contract: the ids that conversations are called by.

use serde_json::json;

use crate::api::Api;

const HEX: &str = "7b63a1c4e5f60718293a4b5c6d7e8f901122334455667788";

#[tokio::test]
async fn a_conversation_of_ours_is_found_by_every_form_of_its_uuid() {
    let api = Api::memory().await;
    let id = api.begin("my name is Ada").await;
    let simple = id.replace('-', "");
    for form in
        [id.clone(), simple.clone(), id.to_uppercase(), format!("%7B{id}%7D"), format!("urn:uuid:{id}")]
    {
        for version in ["v1", "v2"] {
            let answer = api.get(&format!("/{version}/conversations/{form}")).await.expect(200);
            let came_in = form.replace("%7B", "{").replace("%7D", "}");
            assert_eq!(answer["conversation_id"], came_in, "given back as it came in");
            assert_eq!(answer["chat_history"].as_array().unwrap().len(), 1);
        }
    }
}

#[tokio::test]
async fn a_conversation_of_48_digits_is_found_by_every_form_and_called_by_its_own() {
    let api = Api::memory().await;
    let made =
        api.post("/v1/conversations", &json!({ "conversation_id": format!("conv_{HEX}") })).await.expect(201);
    assert_eq!(made["conversation_id"], HEX);
    for form in [HEX.to_owned(), format!("conv_{HEX}"), HEX.to_uppercase()] {
        for version in ["v1", "v2"] {
            let answer = api.get(&format!("/{version}/conversations/{form}")).await.expect(200);
            assert_eq!(answer["conversation_id"], form.trim_start_matches("conv_"));
        }
    }
    for version in ["v1", "v2"] {
        let list = api.get(&format!("/{version}/conversations")).await.expect(200);
        assert_eq!(list["conversations"][0]["conversation_id"], HEX);
    }
    let answer =
        api.post("/v1/query", &json!({ "query": "hi", "conversation_id": format!("conv_{HEX}") })).await;
    assert_eq!(answer.expect(200)["conversation_id"], HEX);
}

#[tokio::test]
async fn what_python_reads_as_48_digits_is_an_id_too() {
    let api = Api::memory().await;
    for id in [HEX.replacen("7b", "0x", 1), HEX.replacen('7', "+", 1), HEX.replacen("7b63", "a_a_", 1)] {
        let answer = api.get(&format!("/v1/conversations/{id}")).await;
        assert_eq!(answer.status, 404, "{id} is an id, of no conversation");
    }
}

#[tokio::test]
async fn what_is_no_id_is_refused_everywhere() {
    let api = Api::memory().await;
    let bad = [
        "abcdef".to_owned(),
        HEX.replacen('7', "", 1),
        "conv_018f3a5c-7d1e-7b3a-9c55-0242ac120002".to_owned(),
    ];
    for id in &bad {
        for version in ["v1", "v2"] {
            let path = format!("/{version}/conversations/{id}");
            let expected = json!({ "detail": {
                "response": "Invalid conversation ID format",
                "cause": format!("The conversation ID {id} has invalid format."),
            } });
            assert_eq!(api.get(&path).await.expect(400), expected);
            assert_eq!(api.put(&path, &json!({ "topic_summary": "x" })).await.expect(400), expected);
            assert_eq!(api.delete(&path).await.expect(400), expected);
        }
        let problem =
            api.post("/v1/query", &json!({ "query": "hi", "conversation_id": id })).await.expect(422);
        assert_eq!(problem["detail"][0]["type"], "value_error");
        assert_eq!(problem["detail"][0]["loc"], json!(["body", "conversation_id"]));
        assert_eq!(problem["detail"][0]["msg"], format!("Value error, Improper conversation ID '{id}'"));
    }
}
