//! Hostile documents in a body: what is taken comes back as it was, what is refused is a 422, nothing is a failure.
//!
//! The table and its verdicts are those that the stores are held against.

use std::collections::BTreeMap;

use axum::body::Body;
use http::{Method, Request};
use lcs_domain::Payload;
use lcs_tests::hostile_json::{Case, Verdict, cases};
use serde_json::value::RawValue;

use crate::api::{Answer, Api};

/// Appends the document as what was said.
async fn append(api: &Api, path: &str, document: &[u8]) -> Answer {
    let body = [b"{\"input_messages\":", document, b"}"].concat();
    let request =
        Request::builder().method(Method::POST).uri(path).header("content-type", "application/json");
    api.send(request.body(Body::from(body)).unwrap()).await
}

/// What was said in the newest turn, exactly as it is answered.
async fn said(api: &Api, path: &str) -> Payload {
    type Fields = BTreeMap<String, Box<RawValue>>;
    let answer = api.get(&format!("{path}?limit=1")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let page: Fields = serde_json::from_str(&answer.text).unwrap();
    let turns: Vec<Fields> = serde_json::from_str(page["turns"].get()).unwrap();
    Payload::from_stored(turns[0]["input_messages"].get().to_owned())
}

#[tokio::test]
async fn p10_hostile_documents_in_a_body_have_the_same_verdict() {
    let api = Api::memory().await;
    let made = api.post("/v1/conversations", &serde_json::json!({})).await.expect(201);
    let path = format!("/v1/conversations/{}/turns", made["conversation_id"].as_str().unwrap());
    let mut taken = 0;
    // What is longer than a body may be never comes so far.
    let cases: Vec<Case> = cases().into_iter().filter(|case| case.document.len() < 1_000_000).collect();
    assert!(cases.len() >= 150);
    for case in cases {
        let answer = append(&api, &path, &case.document).await;
        match case.verdict {
            Verdict::Kept | Verdict::Sealed => {
                taken += 1;
                assert_eq!(answer.expect(201)["turn_number"], taken, "{}", case.shown);
                assert!(
                    *said(&api, &path).await.canonical_json().unwrap() == *case.canonical(),
                    "{}",
                    case.shown
                );
            }
            Verdict::Refused { .. } => {
                assert_eq!(answer.status, 422, "{}: {}", case.shown, answer.text);
                let is_told = answer.json()["detail"].as_array().is_some_and(|problems| !problems.is_empty());
                assert!(
                    is_told || answer.json()["detail"]["cause"].is_string(),
                    "{}: {}",
                    case.shown,
                    answer.text
                );
            }
            Verdict::Large => panic!("{} is large", case.shown),
        }
    }
    let turns = api.get(&format!("{path}?limit=1")).await.expect(200);
    assert_eq!(turns["turn_count"], taken, "what was refused is not stored");
}
