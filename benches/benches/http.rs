//! Appending and reading through the HTTP API, in this process: routing, guards, bodies, and the store in memory.

use axum::Router;
use axum::body::{Body, Bytes};
use criterion::{Criterion, Throughput};
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use lcs_app::PersistenceManager;
use lcs_app::configuration::{Configuration, StoreConfiguration};
use lcs_app::http::authentication::authenticator;
use lcs_app::http::{Service, guarded, router};
use lcs_benches::Result;
use lcs_benches::payload::Payloads;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

/// How many turns the conversation has that is read.
const TURNS: u64 = 50;

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = Runtime::new()?;
    let router = runtime.block_on(api())?;
    let turn = Payloads::of(1);
    let turn = json!({
        "input_messages": turn.input_messages, "output_message": turn.output_message, "metadata": turn.metadata,
    });
    let turn = Bytes::from(turn.to_string());
    let (written, read) = (runtime.block_on(begin(&router))?, runtime.block_on(begin(&router))?);
    for _ in 0..TURNS {
        runtime.block_on(send(&router, Method::POST, &read, turn.clone()))?;
    }
    let mut group = criterion.benchmark_group("http");
    group.throughput(Throughput::Elements(1));
    group.bench_function("append", |bencher| {
        bencher.iter(|| runtime.block_on(send(&router, Method::POST, &written, turn.clone())));
    });
    let newest = format!("{read}?limit={TURNS}");
    let page = runtime.block_on(send(&router, Method::GET, &newest, Bytes::new()))?;
    group.throughput(Throughput::Bytes(page.len() as u64));
    group.bench_function("read_50", |bencher| {
        bencher.iter(|| runtime.block_on(send(&router, Method::GET, &newest, Bytes::new())));
    });
    group.finish();
    criterion.final_summary();
    Ok(())
}

async fn api() -> Result<Router> {
    let configuration = Configuration::new(StoreConfiguration::Memory);
    let config = configuration.service.clone();
    let manager = PersistenceManager::initialize(configuration).await?;
    let authenticator = authenticator(&config.authentication)?;
    Ok(guarded(router(Service::new(manager, authenticator, None)), &config))
}

/// A new conversation: the path of its turns.
async fn begin(router: &Router) -> Result<String> {
    let new = Bytes::from(json!({ "model_id": "gpt-4o-mini" }).to_string());
    let made: Value = serde_json::from_slice(&send(router, Method::POST, "/v1/conversations", new).await?)?;
    let id = made.get("conversation_id").and_then(Value::as_str).ok_or("a conversation without an id")?;
    Ok(format!("/v1/conversations/{id}/turns"))
}

/// Sends a request, and reads the answer's body. Any but a success is an error.
async fn send(router: &Router, method: Method, path: &str, body: Bytes) -> Result<Bytes> {
    let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
    let answer = router.clone().oneshot(request.body(Body::from(body))?).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    if status.is_success() { Ok(body) } else { Err(format!("{path} is answered with {status}").into()) }
}
