//! How `serve` ends: what it has accepted is finished first, as long as that may take.

use lcs_tests::model_stub::{Gate, ModelStub, Script};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::{CANARY, Place, Process, until};

/// What a process says when it is told to end while it has something to do.
const FINISHING: &str = "Finishing what was accepted";

/// A process whose model is `stub`.
pub(crate) async fn asking(stub: &ModelStub, more: &str) -> (Place, Process) {
    let key = "sk-the-models-key";
    let model = format!("model:\n  base_url: {}\n  model: stub\n  api_key: {key}\n", stub.base_url());
    let place = Place::configured(&format!("{model}{more}"), &[key]);
    let process = place.serve().await;
    (place, process)
}

/// Waits until the model has a question.
pub(crate) async fn is_asked(stub: &ModelStub) {
    until("the model is asked", async || !stub.questions().is_empty()).await;
}

#[tokio::test]
async fn with_nothing_to_do_it_ends_at_once() {
    for signal in ["-INT", "-TERM"] {
        let place = Place::sqlite();
        let mut process = place.serve().await;
        // A connection that waits for its next request keeps nobody.
        process.client.get("/liveness").await.expect(200);
        process.signal(signal);
        assert_eq!(process.ended().await.code(), Some(0), "{}", process.log());
    }
}

#[tokio::test]
async fn a_streamed_answer_is_finished() {
    for signal in ["-INT", "-TERM"] {
        let (stub, gate) = (ModelStub::start().await.unwrap(), Gate::default());
        let (place, mut process) = asking(&stub, "").await;
        let text = format!("one two {CANARY} four");
        stub.next(Script::gated(&text, &gate));
        let mut events = process.client.stream(None, &format!("count, {CANARY}")).await.unwrap();
        let id = events.expect("start").await["conversation_id"].as_str().unwrap().to_owned();
        gate.let_through(1);
        events.expect("token").await;
        process.signal(signal);
        process.logged(FINISHING).await;
        gate.open();
        let events = events.rest().await;
        assert_eq!(events.last().unwrap()["event"], "end", "{events:?}");
        assert_eq!(process.ended().await.code(), Some(0), "{}", process.log());
        let next = place.serve().await;
        assert_eq!(next.client.history("v1", &id).await, [[format!("count, {CANARY}"), text]]);
        next.stop().await;
    }
}

#[tokio::test]
async fn an_answer_in_one_piece_is_finished() {
    let (stub, gate) = (ModelStub::start().await.unwrap(), Gate::default());
    let (_place, mut process) = asking(&stub, "").await;
    stub.next(Script::gated(CANARY, &gate));
    let client = process.client.clone();
    let answer = tokio::spawn(async move { client.ask(None, &format!("say {CANARY}")).await });
    is_asked(&stub).await;
    process.signal("-TERM");
    process.logged(FINISHING).await;
    gate.open();
    assert_eq!(answer.await.unwrap().expect(200)["response"], CANARY);
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.log());
}

#[tokio::test]
async fn a_request_that_is_half_sent_is_heard_and_answered() {
    let place = Place::sqlite();
    let mut process = place.serve().await;
    let body = format!(r#"{{"query":"my bird is {CANARY}"}}"#);
    let (begin, rest) = body.split_at(12);
    let address = process.url.strip_prefix("http://").unwrap();
    let mut client = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!(
        "POST /v1/query?user_id=ada HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nexpect: 100-continue\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    // It reads the body: so it has the head.
    let mut go_on = [0; 25];
    client.read_exact(&mut go_on).await.unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100 Continue"), "{}", String::from_utf8_lossy(&go_on));
    client.write_all(begin.as_bytes()).await.unwrap();
    process.signal("-TERM");
    process.logged(FINISHING).await;
    client.write_all(rest.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.log());
    let next = place.serve().await;
    let history = next.client.history("v1", body["conversation_id"].as_str().unwrap()).await;
    assert_eq!(history[0][0], format!("my bird is {CANARY}"));
    next.stop().await;
}

#[tokio::test]
async fn what_takes_too_long_is_cut_off_and_kept_as_far_as_it_had_come() {
    let stub = ModelStub::start().await.unwrap();
    let (place, mut process) = asking(&stub, "service:\n  shutdown_timeout_seconds: 1").await;
    stub.next(Script::hangs_after(&format!("{CANARY} ")));
    let mut events = process.client.stream(None, &format!("count, {CANARY}")).await.unwrap();
    let id = events.expect("start").await["conversation_id"].as_str().unwrap().to_owned();
    events.expect("token").await;
    process.signal("-TERM");
    assert_eq!(process.ended().await.code(), Some(0), "{}", process.log());
    assert!(events.rest().await.iter().all(|event| event["event"] != "end"));
    let next = place.serve().await;
    assert_eq!(next.client.history("v1", &id).await, [[format!("count, {CANARY}"), format!("{CANARY} ")]]);
    assert!(is_interrupted(&next.client.turns(&id).await[0]));
    next.stop().await;
}

#[tokio::test]
async fn who_asks_a_second_time_does_not_wait() {
    let stub = ModelStub::start().await.unwrap();
    let (_place, mut process) = asking(&stub, "").await;
    stub.next(Script::hangs_after(&format!("{CANARY} ")));
    let mut events = process.client.stream(None, &format!("count, {CANARY}")).await.unwrap();
    events.expect("start").await;
    events.expect("token").await;
    process.signal("-INT");
    process.logged(FINISHING).await;
    process.signal("-INT");
    assert_eq!(process.ended().await.code(), Some(1));
    let log = process.log();
    assert!(log.lines().any(|line| line.starts_with("error: ended at once")), "{log}");
}

/// Whether a turn is marked as one whose answer was stopped.
pub(crate) fn is_interrupted(turn: &Value) -> bool {
    turn["metadata"]["lcs:interrupted"] == true
}
