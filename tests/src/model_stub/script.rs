//! What the server says to a request, and how it breaks.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// Holds a stream until a test lets it go on.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Semaphore>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }
}

impl Gate {
    /// Lets so many more words through.
    pub fn let_through(&self, words: usize) {
        self.0.add_permits(words);
    }

    /// Lets all through from now on.
    pub fn open(&self) {
        self.0.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    async fn pass(&self) {
        if let Ok(permit) = self.0.acquire().await {
            permit.forget();
        }
    }
}

/// One answer of the server.
#[derive(Debug, Clone)]
pub struct Script {
    status: StatusCode,
    content_type: &'static str,
    steps: VecDeque<Step>,
}

#[derive(Debug, Clone)]
enum Step {
    Send(String),
    Pass(Gate),
    /// Nothing more comes, and the connection stays.
    Hang,
    /// The connection breaks.
    Break,
}

impl Script {
    /// A whole stream that says `text`, word by word.
    #[must_use]
    pub fn says(text: &str) -> Self {
        Self::says_with(text, &[])
    }

    /// The same behind the items of tools that were used before.
    #[must_use]
    pub fn says_with(text: &str, tools: &[Value]) -> Self {
        let done = tools.iter().map(|item| json!({ "type": "response.output_item.done", "item": item }));
        let response = response("completed", text, tools);
        let end = json!({ "type": "response.completed", "response": response });
        Self::events(done.chain(deltas(text)).chain([end]))
    }

    /// The same stream, whose every word waits for `gate`.
    #[must_use]
    pub fn gated(text: &str, gate: &Gate) -> Self {
        let mut script = Self::says(text);
        let is_delta = |step: &Step| matches!(step, Step::Send(text) if text.contains("output_text.delta"));
        script.steps = script
            .steps
            .into_iter()
            .flat_map(|step| is_delta(&step).then(|| Step::Pass(gate.clone())).into_iter().chain([step]))
            .collect();
        script
    }

    /// A stream that says `text`, and then breaks.
    #[must_use]
    pub fn breaks_after(text: &str) -> Self {
        Self::stream(deltas(text).map(|event| Step::Send(sse(&event))).chain([Step::Break]))
    }

    /// A stream that says `text`, and then ends without saying that this was all.
    #[must_use]
    pub fn ends_after(text: &str) -> Self {
        Self::events(deltas(text))
    }

    /// A stream that says `text`, and then nothing more.
    #[must_use]
    pub fn hangs_after(text: &str) -> Self {
        Self::stream(deltas(text).map(|event| Step::Send(sse(&event))).chain([Step::Hang]))
    }

    /// A stream of these events.
    #[must_use]
    pub fn events(events: impl IntoIterator<Item = Value>) -> Self {
        Self::stream(events.into_iter().map(|event| Step::Send(sse(&event))))
    }

    /// A stream of this text, whatever it is.
    #[must_use]
    pub fn raw(text: impl Into<String>) -> Self {
        Self::stream([Step::Send(text.into())])
    }

    /// No stream, but a JSON document.
    #[must_use]
    pub fn json(body: &Value) -> Self {
        Self::status(200, body)
    }

    /// A JSON document with another status.
    ///
    /// # Panics
    /// Where there is no such status.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test that cannot go on fails")]
    pub fn status(status: u16, body: &Value) -> Self {
        let status = StatusCode::from_u16(status).expect("a status");
        let steps = VecDeque::from([Step::Send(body.to_string())]);
        Self { status, content_type: "application/json", steps }
    }

    /// No answer at all, not even its head.
    #[must_use]
    pub fn never() -> Self {
        Self { status: StatusCode::OK, content_type: "", steps: VecDeque::new() }
    }

    fn stream(steps: impl IntoIterator<Item = Step>) -> Self {
        Self { status: StatusCode::OK, content_type: "text/event-stream", steps: steps.into_iter().collect() }
    }

    pub(super) async fn answer(self) -> Response {
        if self.content_type.is_empty() {
            let never: Infallible = pending().await;
            match never {}
        }
        let body = Body::from_stream(stream::unfold(self.steps, next));
        (self.status, [(header::CONTENT_TYPE, self.content_type)], body).into_response()
    }
}

async fn next(mut steps: VecDeque<Step>) -> Option<(io::Result<Bytes>, VecDeque<Step>)> {
    loop {
        match steps.pop_front()? {
            Step::Send(text) => return Some((Ok(Bytes::from(text)), steps)),
            Step::Pass(gate) => gate.pass().await,
            Step::Hang => pending().await,
            Step::Break => {
                // What was sent before is on its way first.
                tokio::task::yield_now().await;
                return Some((Err(io::Error::other("scripted")), steps));
            }
        }
    }
}

fn sse(event: &Value) -> String {
    let kind = event.get("type").and_then(Value::as_str).unwrap_or("message");
    format!("event: {kind}\ndata: {event}\n\n")
}

fn deltas(text: &str) -> impl Iterator<Item = Value> {
    let created =
        json!({ "type": "response.created", "response": { "id": "resp_1", "status": "in_progress" } });
    let words = text.split_inclusive(' ').map(|word| {
        json!({ "type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0, "delta": word })
    });
    std::iter::once(created).chain(words)
}

/// A response with this text, behind the items of tools.
pub(super) fn response(status: &str, text: &str, tools: &[Value]) -> Value {
    let message = json!({ "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                          "content": [{ "type": "output_text", "text": text, "annotations": [] }] });
    let words = text.split_whitespace().count();
    json!({ "id": "resp_1", "object": "response", "status": status,
            "output": tools.iter().cloned().chain([message]).collect::<Vec<_>>(),
            "usage": { "input_tokens": 11, "output_tokens": words, "total_tokens": 11 + words } })
}
