//! Traces as a collector gets them.

#![cfg(feature = "opentelemetry")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// What is said to the model, and must not be told to a collector.
const SAID: &str = "canary-said";
/// The caller's trace.
const TRACE: [u8; 16] =
    [0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c];

/// A collector that keeps what it is sent.
async fn collector() -> (String, UnboundedReceiver<Bytes>) {
    async fn take(State(heard): State<UnboundedSender<Bytes>>, body: Bytes) {
        heard.send(body).unwrap();
    }

    let (heard, bodies) = unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/v1/traces", post(take)).with_state(heard);
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    (url, bodies)
}

struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The service, and where it listens.
fn serve(collector: &str, folder: &Path) -> (Service, String) {
    let database = format!("sqlite:{}", folder.join("conversations.sqlite").display());
    let mut child = Command::new(env!("CARGO_BIN_EXE_lcs-persistence"))
        .args(["serve", "--json", "--port", "0", "--database-url", &database])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
        .env("OTEL_BSP_SCHEDULE_DELAY", "50")
        .env_remove("LCS_PERSISTENCE_DATABASE_URL")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    let listening: Value = loop {
        assert!(out.read_line(&mut text).unwrap() > 0, "it ended: {text}");
        if let Ok(value) = serde_json::from_str(&text) {
            break value;
        }
    };
    let address =
        listening.get("url").and_then(Value::as_str).unwrap().trim_start_matches("http://").to_owned();
    (Service(child), address)
}

fn ask(address: &str) -> String {
    let body = format!("{{\"query\":\"{SAID}\"}}");
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /v1/query HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn canary_credentials_in_the_address_of_a_collector_are_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_lcs-persistence"))
        .args(["doctor", "--database-url", "memory:"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:canary@127.0.0.1:1")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let expected = "error: there are credentials in the address that OTEL_EXPORTER_OTLP_ENDPOINT holds: write it without \
                    them, and give them in OTEL_EXPORTER_OTLP_HEADERS\n";
    assert_eq!((output.status.code(), said.as_str()), (Some(1), expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_and_its_calls_of_the_store_are_one_trace_of_the_callers() {
    let (url, mut bodies) = collector().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let answer = tokio::task::spawn_blocking(move || {
        let (service, address) = serve(&url, &path);
        (ask(&address), service)
    });
    let (answer, _service) = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let mut sent = Vec::new();
    let wanted: [&[u8]; 4] = [b"http.request", b"db.turn.append", b"lcs-persistence", &TRACE];
    while !wanted.iter().all(|part| holds(&sent, part)) {
        let body = timeout(Duration::from_secs(30), bodies.recv()).await;
        sent.extend_from_slice(&body.unwrap().unwrap());
    }
    assert!(!holds(&sent, SAID.as_bytes()));
}
