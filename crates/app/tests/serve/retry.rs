//! A request that is sent again with its key, after the process that it was sent to was killed.

use lcs_storage::testing::TestPostgres;
use lcs_tests::model_stub::{ModelStub, Script};
use reqwest::header::RETRY_AFTER;
use serde_json::json;

use crate::process::{CANARY, Place, until};
use crate::stop::is_asked;

const KEY: &str = "the-question-of-the-day";

async fn is_taken_over(stub: &ModelStub, place: Place) {
    let (first, second) = tokio::join!(place.serve(), place.serve());
    let body = json!({ "query": format!("say {CANARY}"), "generate_topic_summary": false });
    stub.next(Script::never());
    let asking = tokio::spawn({
        let (client, body) = (first.client.clone(), body.clone());
        async move { client.ask_keyed(KEY, &body).await }
    });
    is_asked(stub).await;
    let meanwhile = second.client.ask_keyed(KEY, &body).await.unwrap();
    assert_eq!(meanwhile.expect(409)["detail"]["response"], "Request in progress");
    assert!(meanwhile.headers.contains_key(RETRY_AFTER));
    first.kill().await;
    assert!(asking.await.unwrap().is_err(), "it was killed before it answered");

    let mut answer = None;
    until("the request is taken over", async || {
        let again = second.client.ask_keyed(KEY, &body).await.unwrap();
        assert!(again.status == 409 || again.status == 200, "{again:?}");
        answer = (again.status == 200).then_some(again);
        answer.is_some()
    })
    .await;
    let answer = answer.unwrap().json();
    assert_eq!(stub.questions().len(), 2, "once for each process that went about it");
    let id = answer["conversation_id"].as_str().unwrap();
    let third = place.serve().await;
    for process in [&second, &third] {
        let again = process.client.ask_keyed(KEY, &body).await.unwrap().expect(200);
        assert_eq!(again, answer);
        let history = process.client.history("v1", id).await;
        let response = answer["response"].as_str().unwrap().to_owned();
        assert_eq!(history, [[format!("say {CANARY}"), response]]);
        assert_eq!(process.client.list().await.len(), 1);
    }
    assert_eq!(stub.questions().len(), 2);
    second.stop().await;
    third.stop().await;
}

fn configuration(stub: &ModelStub) -> String {
    let base_url = stub.base_url();
    format!("model:\n  base_url: {base_url}\n  model: stub\nservice:\n  request_lease_seconds: 2")
}

#[tokio::test]
async fn p1_a_question_outlives_the_process_that_was_answering_it() {
    let stub = ModelStub::start().await.unwrap();
    is_taken_over(&stub, Place::configured(&configuration(&stub), &[KEY])).await;
}

#[tokio::test]
async fn p1_a_question_outlives_the_process_that_was_answering_it_on_postgres() {
    let (database, stub) = (TestPostgres::create().await, ModelStub::start().await.unwrap());
    let secrets = [database.password(), KEY];
    is_taken_over(&stub, Place::at(database.url(), &configuration(&stub), &secrets)).await;
}
