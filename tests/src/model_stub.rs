//! A model's server in small: it speaks the Responses API on a loopback port, says what a test has scripted,
//! and keeps what it was asked. Beside it, the conversations of a Llama Stack.

mod conversation;
mod script;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub use self::script::{Gate, Script};

/// What the server was asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The method and the path with its query: `POST /v1/responses`.
    pub what: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The body; null where there is none.
    pub body: Value,
}

/// The running server. It ends when this is dropped.
#[derive(Debug)]
pub struct ModelStub {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    asked: Mutex<Vec<Asked>>,
    was_asked: Notify,
    scripts: Mutex<VecDeque<Script>>,
    topic: Mutex<Option<Script>>,
    models: Mutex<Option<Script>>,
    conversations: conversation::Conversations,
}

impl ModelStub {
    /// Starts it on a port of its own.
    ///
    /// # Errors
    /// Where there is no port to be had.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let router = Router::new()
            .route("/v1/responses", post(respond))
            .route("/v1/models", get(models))
            .route("/v1/conversations/{id}/items", get(conversation::items))
            .route("/v1/conversations/{id}", delete(conversation::delete))
            .with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            // It ends when it is aborted.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, shared, task })
    }

    /// What stands before `/responses`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The next streamed answer that has no script yet. Without any, it says what it was told last.
    pub fn next(&self, script: Script) {
        lock(&self.shared.scripts).push_back(script);
    }

    /// The answer to requests that are not streamed: those for a topic.
    pub fn topic(&self, script: Script) {
        *lock(&self.shared.topic) = Some(script);
    }

    /// The answer to requests for the list of models.
    pub fn models(&self, script: Script) {
        *lock(&self.shared.models) = Some(script);
    }

    /// Keeps a conversation with these items, oldest first.
    pub fn keep(&self, conversation_id: &str, items: Vec<Value>) {
        self.shared.conversations.keep(conversation_id, items);
    }

    /// Answers every request for a conversation with this.
    pub fn conversations_answer(&self, script: Script) {
        self.shared.conversations.answer(script);
    }

    /// Whether a conversation is there.
    #[must_use]
    pub fn has(&self, conversation_id: &str) -> bool {
        self.shared.conversations.has(conversation_id)
    }

    /// What it was asked so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.shared.asked).clone()
    }

    /// The bodies of the requests for streamed answers so far.
    #[must_use]
    pub fn questions(&self) -> Vec<Value> {
        let asked = self.asked();
        asked.into_iter().map(|asked| asked.body).filter(is_streamed).collect()
    }

    /// Waits until it was asked so many times.
    pub async fn wait_asked(&self, times: usize) {
        loop {
            let was_asked = self.shared.was_asked.notified();
            if lock(&self.shared.asked).len() >= times {
                return;
            }
            was_asked.await;
        }
    }
}

impl Drop for ModelStub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn ask(&self, method: &Method, uri: &Uri, headers: &HeaderMap, body: Value) {
        let authorization = headers.get("authorization").and_then(|value| value.to_str().ok());
        let what = format!("{method} {uri}");
        lock(&self.asked).push(Asked { what, authorization: authorization.map(str::to_owned), body });
        self.was_asked.notify_waiters();
    }
}

async fn respond(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let is_streamed = is_streamed(&body);
    let script = if is_streamed {
        let script = lock(&shared.scripts).pop_front();
        script.unwrap_or_else(|| Script::says(&echo(&body)))
    } else {
        let script = lock(&shared.topic).clone();
        script.unwrap_or_else(|| Script::json(&script::response("completed", "About something", &[])))
    };
    shared.ask(&method, &uri, &headers, body);
    script.answer().await
}

fn is_streamed(body: &Value) -> bool {
    body.get("stream") == Some(&Value::Bool(true))
}

/// What it says without a script: the last text that it was told, and how many messages it was shown.
fn echo(body: &Value) -> String {
    let input = body.get("input").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let last = input.last().and_then(|item| item.get("content")?.as_str()).unwrap_or_default();
    format!("You said: {last} (message {})", input.len())
}

async fn models(State(shared): State<Arc<Shared>>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    shared.ask(&method, &uri, &headers, Value::Null);
    let script = lock(&shared.models).clone();
    match script {
        Some(script) => script.answer().await,
        None => {
            Json(json!({ "object": "list", "data": [{ "id": "stub", "object": "model" }] })).into_response()
        }
    }
}

type Parameters = Query<std::collections::HashMap<String, String>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
