//! A slow, broken or interrupted model behind the API: no answer is lost, and none is asked for twice.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures_util::StreamExt;
use http::{Method, Request};
use lcs_app::PersistenceManager;
use lcs_app::configuration::{Configuration, StoreConfiguration};
use lcs_app::llama_stack::{LlamaStack, LlamaStackConfig};
use lcs_app::responses::{ResponsesConfig, ResponsesRuntime};
use lcs_domain::{Repositories, SystemClock};
use lcs_storage::memory::Memory;
use lcs_tests::model_stub::{Gate, ModelStub, Script};
use serde_json::{Value, json};

use crate::api::{Api, events};

/// A model's server, and replicas over one store that ask it.
pub(crate) struct Scene {
    pub(crate) stub: ModelStub,
    pub(crate) replicas: Vec<Api>,
}

impl Scene {
    pub(crate) async fn with_replicas(count: usize) -> Self {
        let store: Arc<dyn Repositories> = Arc::new(Memory::new(Arc::new(SystemClock)));
        Self::over(&store, count, |_| ()).await
    }

    pub(crate) async fn over(
        store: &Arc<dyn Repositories>,
        count: usize,
        change: impl Fn(&mut Configuration),
    ) -> Self {
        let stub = ModelStub::start().await.unwrap();
        let mut replicas = Vec::new();
        for _ in 0..count {
            let model = ResponsesConfig {
                provider: Some("ollama".to_owned()),
                idle_timeout: Duration::from_secs(20),
                ..ResponsesConfig::new(stub.base_url(), "llama")
            };
            let mut configuration = Configuration::new(StoreConfiguration::Memory);
            change(&mut configuration);
            let authentication = configuration.service.authentication.clone();
            let manager = PersistenceManager::builder(configuration)
                .repositories(Arc::clone(store))
                .runtime(Arc::new(ResponsesRuntime::new(model).unwrap()));
            let llama_stack = LlamaStack::new(&LlamaStackConfig::new(stub.base_url())).unwrap();
            let manager = manager.initialize().await.unwrap();
            replicas.push(Api::with_llama_stack(manager, &authentication, Some(llama_stack)));
        }
        Self { stub, replicas }
    }
}

fn question(text: &str) -> Value {
    json!({ "query": text, "generate_topic_summary": false })
}

/// A streamed answer that is read event by event.
struct Stream {
    body: futures_util::stream::BoxStream<'static, String>,
    pending: String,
}

impl Stream {
    async fn open(api: &Api, body: &Value, headers: &[(&str, &str)]) -> Self {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri("/v1/streaming_query")
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = api.open(request.body(Body::from(body.to_string())).unwrap()).await;
        assert_eq!(response.status(), 200);
        let chunks = response.into_body().into_data_stream();
        let body = chunks.map(|chunk| String::from_utf8(chunk.unwrap().to_vec()).unwrap()).boxed();
        Self { body, pending: String::new() }
    }

    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some((event, rest)) = self.pending.split_once("\n\n") {
                let event = serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
                self.pending = rest.to_owned();
                return Some(event);
            }
            self.pending.push_str(&self.body.next().await?);
        }
    }

    async fn rest(mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

async fn turns(api: &Api, conversation: &str) -> Vec<Value> {
    let page = api.get(&format!("/v1/conversations/{conversation}/turns")).await.expect(200);
    page["turns"].as_array().unwrap().clone()
}

#[tokio::test]
async fn an_answer_is_interrupted_from_another_replica_and_kept_as_far_as_it_had_come() {
    let Scene { stub, replicas } = Scene::with_replicas(2).await;
    let gate = Gate::default();
    stub.next(Script::gated("one two three", &gate));
    let mut stream = Stream::open(&replicas[0], &question("count"), &[]).await;
    let start = stream.next().await.unwrap();
    gate.let_through(2);
    for word in ["one ", "two "] {
        assert_eq!(stream.next().await.unwrap()["data"]["token"].as_str().unwrap().trim(), word.trim());
    }
    let body = json!({ "request_id": start["data"]["request_id"] });
    let interrupt = "/v1/streaming_query/interrupt";
    replicas[1].post(&format!("{interrupt}?user_id=eve"), &body).await.expect(404);
    let answer = replicas[1].post(interrupt, &body).await.expect(200);
    assert_eq!(answer["interrupted"], true);
    assert_eq!(
        stream.rest().await,
        [json!({ "event": "interrupted", "data": { "request_id": body["request_id"] } })]
    );
    let id = start["data"]["conversation_id"].as_str().unwrap();
    let kept = turns(&replicas[1], id).await;
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0]["metadata"]["lcs:interrupted"], true);
    assert_eq!(kept[0]["output_message"]["content"].as_str().unwrap().trim(), "one two");
    // The conversation goes on, and the model is shown what it had said.
    stub.next(Script::says("four"));
    let next = json!({ "query": "go on", "conversation_id": id });
    replicas[1].post("/v1/query", &next).await.expect(200);
    let shown = stub.questions().last().unwrap()["input"].to_string();
    assert!(shown.contains("one two"), "{shown}");
}

#[tokio::test]
async fn a_reader_who_goes_away_stops_the_answer_and_what_was_said_is_kept() {
    let Scene { stub, replicas } = Scene::with_replicas(1).await;
    let api = &replicas[0];
    let gate = Gate::default();
    stub.next(Script::gated("one two three", &gate));
    let mut stream = Stream::open(api, &question("count"), &[]).await;
    let start = stream.next().await.unwrap();
    gate.let_through(1);
    stream.next().await.unwrap();
    drop(stream);
    api.service.finish().await;
    let kept = turns(api, start["data"]["conversation_id"].as_str().unwrap()).await;
    assert_eq!(kept[0]["metadata"]["lcs:interrupted"], true);
    assert_eq!(kept[0]["output_message"]["content"].as_str().unwrap().trim(), "one");
}

#[tokio::test]
async fn a_caller_who_goes_away_finds_the_whole_answer_later() {
    let Scene { stub, replicas } = Scene::with_replicas(1).await;
    let api = replicas[0].clone();
    let gate = Gate::default();
    stub.next(Script::gated("one two three", &gate));
    let key = [("Idempotency-Key", "k")];
    let caller = {
        let api = api.clone();
        tokio::spawn(async move { api.send_json(Method::POST, "/v1/query", &key, &question("count")).await })
    };
    stub.wait_asked(1).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    gate.open();
    api.service.finish().await;
    let answer = api.send_json(Method::POST, "/v1/query", &key, &question("count")).await.expect(200);
    assert_eq!(answer["response"], "one two three");
    assert_eq!(stub.questions().len(), 1, "the model was asked once");
}

#[tokio::test]
async fn p1_of_two_attempts_at_once_one_asks_the_model_and_the_other_is_told_to_wait() {
    let Scene { stub, replicas } = Scene::with_replicas(2).await;
    let gate = Gate::default();
    stub.next(Script::gated("one two three", &gate));
    let key = [("Idempotency-Key", "k")];
    let first = {
        let api = replicas[0].clone();
        tokio::spawn(async move { api.send_json(Method::POST, "/v1/query", &key, &question("count")).await })
    };
    stub.wait_asked(1).await;
    for replica in &replicas {
        for path in ["/v1/query", "/v1/streaming_query"] {
            let second = replica.send_json(Method::POST, path, &key, &question("count")).await;
            assert_eq!(second.expect(409)["detail"]["response"], "Request in progress");
            assert_eq!(second.header("retry-after"), "1");
        }
    }
    gate.open();
    let first = first.await.unwrap();
    first.expect(200);
    let again = replicas[1].send_json(Method::POST, "/v1/query", &key, &question("count")).await;
    assert_eq!(again.text, first.text);
    assert_eq!(stub.questions().len(), 1);
}

#[tokio::test]
async fn a_model_that_fails_leaves_nothing_and_can_be_asked_again() {
    let Scene { stub, replicas } = Scene::with_replicas(1).await;
    let api = &replicas[0];
    let key = [("Idempotency-Key", "k")];
    let error = |status: u16| Script::status(status, &json!({ "error": { "message": "canary" } }));
    for (script, status, response) in [
        (error(503), 503, "Unable to connect to OGX"),
        (error(429), 429, "The quota has been exceeded"),
        (error(404), 404, "Model not found"),
        (error(413), 413, "Prompt is too long"),
        (Script::breaks_after("half an"), 503, "Unable to connect to OGX"),
        (Script::ends_after("half an"), 503, "Unable to connect to OGX"),
    ] {
        stub.next(script);
        let answer = api.send_json(Method::POST, "/v1/query", &key, &question("count")).await;
        assert_eq!(answer.expect(status)["detail"]["response"], response);
        assert!(!answer.text.contains("canary") && !answer.text.contains("half"), "{}", answer.text);
        assert_eq!(matches!(status, 429 | 503), !answer.header("retry-after").is_empty());
    }
    stub.next(Script::breaks_after("half an"));
    let told = events(&api.send_json(Method::POST, "/v1/streaming_query", &key, &question("count")).await);
    let end = told.last().unwrap();
    assert_eq!((&end["event"], &end["data"]["status_code"]), (&json!("error"), &json!(503)));
    assert!(told.iter().all(|event| event["event"] != "end" && event["event"] != "turn_complete"));
    assert_eq!(api.get("/v1/conversations").await.expect(200), json!({ "conversations": [] }));
    stub.next(Script::says("one two"));
    let answer = api.send_json(Method::POST, "/v1/query", &key, &question("count")).await.expect(200);
    assert_eq!(answer["response"], "one two");
    let list = api.get("/v1/conversations").await.expect(200);
    assert_eq!(list["conversations"][0]["message_count"], 1);
}

#[tokio::test]
async fn tools_and_tokens_are_told_and_kept() {
    let Scene { stub, replicas } = Scene::with_replicas(1).await;
    let api = &replicas[0];
    let tool = json!({
        "type": "mcp_call", "id": "call_1", "name": "weather", "arguments": "{\"city\":\"Brno\"}", "output": "sunny",
    });
    stub.next(Script::says_with("It is sunny.", std::slice::from_ref(&tool)));
    let told = events(&api.post("/v1/streaming_query", &question("weather?")).await);
    let data = |name: &str| told.iter().find(|event| event["event"] == name).unwrap()["data"].clone();
    assert_eq!(data("tool_call")["name"], "weather");
    assert_eq!(data("tool_result")["content"], "sunny");
    assert!(data("end")["input_tokens"].as_u64().unwrap() > 0);
    stub.next(Script::says_with("It is sunny.", &[tool]));
    let answer = api.post("/v1/query", &question("weather?")).await.expect(200);
    assert_eq!(
        (&answer["tool_calls"][0], &answer["tool_results"][0]),
        (&data("tool_call"), &data("tool_result"))
    );
    let id = answer["conversation_id"].as_str().unwrap();
    let history = api.get(&format!("/v1/conversations/{id}")).await.expect(200);
    let turn = &history["chat_history"][0];
    assert_eq!(
        (&turn["tool_calls"][0], &turn["tool_results"][0]),
        (&data("tool_call"), &data("tool_result"))
    );
    assert_eq!(turn["provider"], "ollama");
}

#[tokio::test]
async fn an_attempt_that_takes_over_and_fails_deletes_nothing() {
    let Scene { stub, replicas } = Scene::with_replicas(2).await;
    let gate = Gate::default();
    stub.next(Script::gated("one two three", &gate));
    let key = [("Idempotency-Key", "k")];
    let mut stream = Stream::open(&replicas[0], &question("count"), &key).await;
    let start = stream.next().await.unwrap();
    gate.let_through(1);
    stream.next().await.unwrap();
    let id = start["data"]["conversation_id"].as_str().unwrap();
    let turn = json!({ "input_messages": "a host says something meanwhile" });
    replicas[1].post(&format!("/v1/conversations/{id}/turns"), &turn).await.expect(201);
    stub.next(Script::status(503, &json!({})));
    let user = lcs_domain::UserId::from_text("00000000-0000-0000-0000-000");
    let request: lcs_domain::RequestId = start["data"]["request_id"].as_str().unwrap().parse().unwrap();
    let repositories = replicas[1].service.manager().repositories();
    loop {
        // Its process has not been heard of for a whole lease. It says so again from time to time, as it lives.
        repositories.requests().renew(&[(user, request)], Duration::ZERO).await.unwrap();
        let answer = replicas[1].send_json(Method::POST, "/v1/query", &key, &question("count")).await;
        if answer.status != 409 {
            assert_eq!(answer.status, 503, "{}", answer.text);
            break;
        }
    }
    assert_eq!(turns(&replicas[1], id).await.len(), 1, "what others have stored stays");
    gate.open();
    assert_eq!(stream.rest().await.last().unwrap()["event"], "end");
    assert_eq!(turns(&replicas[0], id).await.len(), 2);
}
