//! Hostile bodies: what stands around the documents. The documents themselves are in `hostile_json`.

use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::api::{Answer, Api};

async fn post(api: &Api, path: &str, key: Option<&str>, body: impl Into<Body>) -> Answer {
    let request =
        Request::builder().method(Method::POST).uri(path).header("content-type", "application/json");
    let request = key.into_iter().fold(request, |request, key| request.header("Idempotency-Key", key));
    api.send(request.body(body.into()).unwrap()).await
}

async fn turns(api: &Api) -> String {
    let made = api.post("/v1/conversations", &json!({})).await.expect(201);
    format!("/v1/conversations/{}/turns", made["conversation_id"].as_str().unwrap())
}

fn deep(depth: usize) -> String {
    format!("{}1{}", "[".repeat(depth), "]".repeat(depth))
}

/// The kinds and the places of what is wrong.
fn problems(answer: &Answer) -> Vec<(String, Value)> {
    let detail = answer.expect(422)["detail"].clone();
    let problems = detail.as_array().unwrap_or_else(|| panic!("{}", answer.text)).iter();
    problems.map(|one| (one["type"].as_str().unwrap().to_owned(), one["loc"].clone())).collect()
}

#[tokio::test]
async fn p10_a_document_that_cannot_be_kept_is_refused_where_it_stands() {
    let api = Api::memory().await;
    let path = turns(&api).await;
    let mut wrong: Vec<String> =
        ["1e999", "[1e400]", "{\"n\": -1e999}", "\"\\ud800\"", "[\"\\udc00\\ud800\"]", "{\"\\ud800\": 1}"]
            .map(str::to_owned)
            .into();
    wrong.push(deep(200));
    for document in &wrong {
        for (body, place) in [
            (format!("{{\"input_messages\": {document}}}"), "/input_messages"),
            (format!("{{\"input_messages\": 1, \"output_message\": {document}}}"), "/output_message"),
            (format!("{{\"input_messages\": 1, \"metadata\": {{\"m\": {document}}}}}"), "/metadata"),
            (
                format!(
                    "{{\"input_messages\": 1, \"agent_state\": {{\"agent_id\": \"018f3a5c-7d1e-7b3a-9c55-0242ac120002\", \
                     \"expected_revision\": 0, \"current_state\": {document}}}}}"
                ),
                "/agent_state/current_state",
            ),
        ] {
            let answer = post(&api, &path, None, body.clone()).await;
            let cause = answer.expect(422)["detail"]["cause"].clone();
            assert!(cause.as_str().is_some_and(|cause| cause.contains(place)), "{body}: {cause}");
        }
        // Nobody reads what nobody knows, and it is not repeated.
        let answer =
            post(&api, &path, None, format!("{{\"input_messages\": 1, \"more\": {document}}}")).await;
        assert_eq!(problems(&answer), [("extra_forbidden".to_owned(), json!(["body", "more"]))]);
        assert_eq!(answer.json()["detail"][0]["input"], Value::Null);
        let long = vec![document.as_str(); 300].join(",");
        let answer = post(&api, &path, None, format!("{{\"input_messages\": 1, \"more\": [{long}]}}")).await;
        assert_eq!(problems(&answer), [("extra_forbidden".to_owned(), json!(["body", "more"]))]);
        assert_eq!(answer.json()["detail"][0]["input"], "...");
        // What is to be a text or a number.
        for name in ["turn_id", "expected_turn_count"] {
            let answer =
                post(&api, &path, None, format!("{{\"input_messages\": 1, \"{name}\": {document}}}")).await;
            let expected = [("json_invalid".to_owned(), json!(["body", name]))];
            assert_eq!(problems(&answer), expected, "{document}");
        }
    }
    assert_eq!(api.get(&path).await.expect(200)["turn_count"], 0, "what was refused is not stored");
}

#[tokio::test]
async fn a_body_that_is_no_json_or_goes_on_behind_its_end_is_refused() {
    let api = Api::memory().await;
    let path = turns(&api).await;
    let body = "{\"input_messages\": 1}";
    let around: [(&[u8], &[u8]); 6] =
        [(b"\xef\xbb\xbf", b""), (b"", b" x"), (b"", b"{}"), (b"", b"\0"), (b"", b","), (b"", b"\xff")];
    for (before, behind) in around {
        let answer = post(&api, &path, None, [before, body.as_bytes(), behind].concat()).await;
        let problems = problems(&answer);
        assert_eq!((problems.len(), problems[0].0.as_str()), (1, "json_invalid"), "{before:?} {behind:?}");
        assert_eq!(problems[0].1[0], "body");
    }
    for name in ["\\ud800", "\\udc00\\ud800"] {
        for long in ["", &"x".repeat(2_000)] {
            let answer =
                post(&api, &path, None, format!("{{\"input_messages\": 1, \"{name}\": \"{long}\"}}")).await;
            assert_eq!(problems(&answer)[0].0, "json_invalid", "{name}");
        }
    }
    for (other, kind) in [
        ("[1]".to_owned(), "model_attributes_type"),
        (format!("[{}1]", "1,".repeat(10_000)), "model_attributes_type"),
        ("\"text\"".to_owned(), "model_attributes_type"),
        ("1e999".to_owned(), "json_invalid"),
        (deep(200), "json_invalid"),
    ] {
        assert_eq!(problems(&post(&api, &path, None, other.clone()).await)[0].0, kind, "{other:.20}");
    }
    assert_eq!(api.get(&path).await.expect(200)["turn_count"], 0);
    post(&api, &path, None, format!(" \r\n\t{body}\n\n")).await.expect(201);
}

#[tokio::test]
async fn of_a_name_that_is_there_twice_the_last_counts() {
    let api = Api::memory().await;
    let path = turns(&api).await;
    let body = "{\"input_messages\": 1e999, \"expected_turn_count\": \"no number\", \
                \"metadata\": {\"a\": 1, \"a\": 2}, \"expected_turn_count\": 0, \"input_messages\": {\"\": [\"\"]}}";
    post(&api, &path, None, body).await.expect(201);
    let page = api.get(&path).await.expect(200);
    assert_eq!(page["turns"][0]["input_messages"], json!({ "": [""] }), "and a name may be empty");
    assert_eq!(page["turns"][0]["metadata"], json!({ "a": 2 }));
    let answer = post(&api, &path, None, "{\"input_messages\": 1, \"\": 2}").await;
    assert_eq!(problems(&answer), [("extra_forbidden".to_owned(), json!(["body", ""]))]);
    assert_eq!(answer.json()["detail"][0]["input"], 2);
}

#[tokio::test]
async fn a_state_is_an_object_with_all_that_belongs_to_it_or_null() {
    let api = Api::memory().await;
    let path = turns(&api).await;
    let turn = |state: &str| format!("{{\"input_messages\": 1, \"agent_state\": {state}}}");
    let place = |names: &[&str]| json!([&["body", "agent_state"], names].concat());
    for state in ["[]", "[1]", "\"{}\"", "0", "false"] {
        let answer = post(&api, &path, None, turn(state)).await;
        assert_eq!(problems(&answer), [("dict_type".to_owned(), place(&[]))], "{state}");
    }
    let missing = ["agent_id", "current_state", "expected_revision"];
    let missing = missing.map(|name| ("missing".to_owned(), place(&[name])));
    assert_eq!(problems(&post(&api, &path, None, turn("{}")).await), missing);
    let answer = post(&api, &path, None, turn("{\"\\ud800\": 1}")).await;
    assert_eq!(problems(&answer), [("json_invalid".to_owned(), place(&[]))], "it is not passed over");
    let answer = post(&api, &path, None, turn("{\"\": 1}")).await;
    assert_eq!(problems(&answer).last(), Some(&("extra_forbidden".to_owned(), place(&[""]))));
    let stored = post(&api, &path, None, turn("null")).await.expect(201);
    assert_eq!((&stored["turn_number"], &stored["state_revision"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn an_answer_lists_so_many_problems_and_says_how_many_more_there_are() {
    let api = Api::memory().await;
    let unknown: Vec<String> = (0..10_000).map(|n| format!("\"k{n:05}\": [{n}]")).collect();
    let answer = post(&api, "/v1/query", None, format!("{{{}}}", unknown.join(","))).await;
    let found = problems(&answer);
    assert_eq!(found.len(), 21);
    assert_eq!(found[0], ("missing".to_owned(), json!(["body", "query"])), "the body's own come first");
    assert_eq!(found[19], ("extra_forbidden".to_owned(), json!(["body", "k00018"])));
    let last = &answer.json()["detail"][20];
    assert_eq!((&last["type"], &last["ctx"]), (&json!("too_many_problems"), &json!({ "not_listed": 9_981 })));
    assert_eq!(last["msg"], "Problems that are not listed: 9981");
    assert!(answer.text.len() < 10_000, "{}", answer.text.len());

    let attachments = format!("{{\"query\": \"hi\", \"attachments\": [{}{{}}]}}", "{},".repeat(9_999));
    let answer = post(&api, "/v1/query", None, attachments).await;
    assert_eq!(problems(&answer).len(), 21);
    assert_eq!(answer.json()["detail"][20]["ctx"]["not_listed"], 3 * 10_000 - 20);
    assert!(answer.text.len() < 10_000, "{}", answer.text.len());
}

#[tokio::test]
async fn p1_a_key_is_not_good_for_another_body_however_little_is_different() {
    let api = Api::memory().await;
    let query = |solr: &str| format!("{{\"query\": \"hello\", \"solr\": {{\"n\": {solr}}}}}");
    let pairs = [
        ("123456789012345678901234567890".to_owned(), "123456789012345678901234567891".to_owned()),
        ("1e400".to_owned(), "1e401".to_owned()),
        ("1e400".to_owned(), "-1e400".to_owned()),
        ("1e-400".to_owned(), "0".to_owned()),
        ("0.1".to_owned(), "0.1000000000000000055511151231257827".to_owned()),
        ("18446744073709551615".to_owned(), "18446744073709551616".to_owned()),
        ("9007199254740992".to_owned(), "9007199254740993".to_owned()),
        ("\"\\ud800\"".to_owned(), "\"\\ud801\"".to_owned()),
        ("{}".to_owned(), "null".to_owned()),
        (deep(200), deep(201)),
    ];
    for (number, (one, other)) in pairs.into_iter().enumerate() {
        let key = format!("key-{number}");
        for path in ["/v1/query", "/v1/streaming_query"] {
            let first = post(&api, "/v1/query", Some(&key), query(&one)).await;
            first.expect(200);
            let answer = post(&api, path, Some(&key), query(&other)).await.expect(422);
            assert_eq!(answer["detail"]["response"], "Idempotency key reused", "{one} and {other}");
            let again = post(&api, "/v1/query", Some(&key), query(&one)).await;
            assert_eq!((again.status, &again.text), (200, &first.text), "{one}");
        }
    }
    // Written in another way, it is the same.
    let first =
        post(&api, "/v1/query", Some("same"), query("{\"a\": 100, \"b\": [1.50, \"\\u00e9\"]}")).await;
    first.expect(200);
    let other = "{ \"solr\": {\"n\": {\"b\": [15e-1, \"é\"], \"a\": 1e2}}, \"query\": \"hello\" }";
    let again = post(&api, "/v1/query", Some("same"), other).await;
    assert_eq!((again.status, &again.text), (200, &first.text));
}
