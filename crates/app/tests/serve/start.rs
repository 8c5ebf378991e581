//! How `serve` starts, and how it says that it does not.

use std::net::TcpListener;

use serde_json::json;

use crate::process::{CANARY, Place};

/// What a process that does not serve says: one sentence, and exit code 1.
async fn sentence(place: &Place, arguments: &[&str]) -> String {
    let output = place.refused(arguments).await;
    let (said, told) = (String::from_utf8(output.stderr).unwrap(), String::from_utf8(output.stdout).unwrap());
    assert_eq!((output.status.code(), told.as_str()), (Some(1), ""), "{said}");
    assert!(said.starts_with("error: ") && said.lines().count() == 1 && !said.contains("panicked"), "{said}");
    said
}

#[tokio::test]
async fn it_says_where_it_listens_and_answers_there() {
    let process = Place::sqlite().serve_with(&[]).await;
    assert!(process.url.starts_with("http://127.0.0.1:") && !process.url.ends_with(":0"), "{}", process.url);
    assert_eq!(process.client.get("/liveness").await.expect(200), json!({ "alive": true }));
    assert_eq!(process.client.get("/readiness").await.expect(200)["ready"], true);
    let answer = process.client.ask(None, &format!("my bird is {CANARY}")).await;
    assert_eq!(answer.expect(200)["response"], format!("I will remember that your bird is {CANARY}."));
    assert!(process.log().contains("answered"), "each request is a line in the log");
    process.stop().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_one_sentence() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = sentence(&Place::sqlite(), &["--port", &port]).await;
    assert!(
        said.contains(&format!("cannot listen at 127.0.0.1:{port}")) && said.contains("in use"),
        "{said}"
    );
}

#[tokio::test]
async fn without_authentication_it_stays_on_this_machine() {
    let said = sentence(&Place::sqlite(), &["--host", "0.0.0.0", "--port", "0"]).await;
    assert!(said.contains("0.0.0.0") && said.contains("persistence.authentication.module"), "{said}");
    let allowed = "authentication:\n  allow_noop_beyond_loopback: true";
    let process = Place::configured(allowed, &[]).serve_with(&["--host", "0.0.0.0"]).await;
    assert!(process.url.starts_with("http://0.0.0.0:"), "{}", process.url);
    process.stop().await;
}

#[tokio::test]
async fn a_wrong_configuration_is_one_sentence() {
    let said = sentence(&Place::configured("service:\n  prot: 1", &[]), &[]).await;
    assert!(said.contains("persistence.service.prot") && said.contains("port?"), "{said}");
    let said = sentence(&Place::at("postgres://u:hunter2@/x?nonsense=1", "", &[]), &["--port", "0"]).await;
    assert!(!said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn nothing_of_what_is_said_is_logged_at_any_level() {
    let key = "sk-never-in-a-log";
    let place = Place::configured(
        &format!("authentication:\n  module: api-key-token\n  api_key: {key}"),
        &[key, "question-of-the-day"],
    );
    let process = place.serve_with(&["--log-level", "trace"]).await;
    let client = process.client.bearer(key);
    let question = json!({ "query": format!("my bird is {CANARY}"), "system_prompt": CANARY });
    for _ in 0..2 {
        client.ask_keyed("question-of-the-day", &question).await.unwrap().expect(200);
    }
    assert_eq!(process.client.get("/v1/conversations").await.status, 401);
    assert_eq!(process.client.bearer("sk-wrong-kanarie").get("/v1/conversations").await.status, 401);
    let id = client.list().await[0]["conversation_id"].as_str().unwrap().to_owned();
    client.stream(Some(&id), &format!("tell of {CANARY}")).await.unwrap().rest().await;
    client.history("v2", &id).await;
    let calls = ["db.conversation.create", "db.turn.append", "db.request.begin", "db.request.finish"];
    for line in process.log().lines().filter(|line| calls.iter().any(|call| line.contains(call))) {
        assert!(line.contains("http.request{request_id="), "whose line is this? {line}");
    }
    // What is refused is not logged either.
    let wrong = json!({ "query": CANARY, "kanarie": 1, "attachments": CANARY });
    assert_eq!(client.post("/v1/query", &wrong).await.status, 422);
    process.stop().await;
}
