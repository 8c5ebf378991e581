//! The events of a streamed answer, in the form that today's clients read.

use axum::body::Bytes;
use lcs_domain::{Durability, RequestId};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::answering::Answer;
use super::error::{ApiError, Detail};
use super::query_request::MediaType;

/// An event of `text/event-stream`, for the document.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes the events, which are written as they are told")]
pub(super) struct StreamedEvent {
    /// A JSON object with `event` and `data`, as in the example.
    data: String,
}

/// Something that a streamed answer tells its reader.
#[derive(Debug)]
pub(super) enum Event {
    /// It begins.
    Start { conversation_id: String, request_id: RequestId },
    /// Some more of its text.
    Token { id: u64, token: String },
    /// The model calls a tool.
    ToolCall(Value),
    /// What a tool answered.
    ToolResult(Value),
    /// The whole text.
    TurnComplete { id: u64, token: String },
    /// It has been stopped; what had been said is stored.
    Interrupted { request_id: RequestId },
    /// It is stored, and this is all.
    End(Box<Answer>),
    /// It has failed.
    Error(ApiError),
}

impl Event {
    /// The event as it is sent in this form; `None` where that form has no word for it.
    pub(super) fn written(&self, media_type: MediaType) -> Option<Bytes> {
        match media_type {
            MediaType::Json => Some(format!("data: {}\n\n", self.json()).into()),
            MediaType::Text => self.text().map(Bytes::from),
        }
    }

    fn json(&self) -> String {
        match self {
            Self::Start { conversation_id, request_id } => {
                told("start", StartData { conversation_id, request_id })
            }
            Self::Token { id, token } => told("token", TokenData { id: *id, token }),
            Self::ToolCall(call) => told("tool_call", call),
            Self::ToolResult(result) => told("tool_result", result),
            Self::TurnComplete { id, token } => told("turn_complete", TokenData { id: *id, token }),
            Self::Interrupted { request_id } => told("interrupted", InterruptedData { request_id }),
            Self::End(answer) => end(answer),
            Self::Error(error) => {
                let Detail { response, cause } = error.detail();
                told("error", ErrorData { status_code: error.status().as_u16(), response, cause })
            }
        }
    }

    fn text(&self) -> Option<String> {
        match self {
            Self::Token { token, .. } => Some(token.clone()),
            Self::ToolCall(call) => {
                let name = call.get("name").and_then(Value::as_str).unwrap_or("tool");
                Some(format!("[Tool Call: {name}]\n"))
            }
            Self::ToolResult(_) => Some("[Tool Result]\n".to_owned()),
            Self::Interrupted { .. } => Some("\n\n*Response stopped by the user.*\n".to_owned()),
            Self::Error(error) => {
                let detail = error.detail();
                Some(format!("\nError {}: {}: {}\n", error.status().as_u16(), detail.response, detail.cause))
            }
            Self::Start { .. } | Self::TurnComplete { .. } | Self::End(_) => None,
        }
    }
}

/// An event; the order of its fields is the contract's.
#[derive(Serialize)]
struct Told<'a, T> {
    event: &'a str,
    data: T,
    #[serde(flatten)]
    beside: Option<Beside>,
}

/// What stands beside the data of the last event.
#[derive(Serialize)]
struct Beside {
    available_quotas: Map<String, Value>,
    /// The headers had gone before it was known. What is durable needs no word beside the contract's.
    #[serde(skip_serializing_if = "Option::is_none")]
    persistence_durability: Option<Durability>,
}

#[derive(Serialize)]
struct StartData<'a> {
    conversation_id: &'a str,
    request_id: &'a RequestId,
}

#[derive(Serialize)]
struct TokenData<'a> {
    id: u64,
    token: &'a str,
}

#[derive(Serialize)]
struct InterruptedData<'a> {
    request_id: &'a RequestId,
}

#[derive(Serialize)]
struct ErrorData {
    status_code: u16,
    response: String,
    cause: String,
}

#[derive(Serialize)]
struct EndData<'a> {
    referenced_documents: &'a [Value],
    truncated: Option<bool>,
    input_tokens: u64,
    output_tokens: u64,
}

fn told(event: &str, data: impl Serialize) -> String {
    written(&Told { event, data, beside: None })
}

fn end(answer: &Answer) -> String {
    let data = EndData {
        referenced_documents: answer.output.referenced_documents.as_deref().unwrap_or_default(),
        truncated: answer.output.truncated.then_some(true),
        input_tokens: answer.input_tokens,
        output_tokens: answer.output_tokens,
    };
    let persistence_durability =
        Some(answer.durability).filter(|durability| *durability != Durability::Durable);
    let beside = Some(Beside { available_quotas: Map::new(), persistence_durability });
    written(&Told { event: "end", data, beside })
}

fn written(event: &impl Serialize) -> String {
    // Texts, numbers and values that were JSON before: there is nothing to fail.
    serde_json::to_string(event).unwrap_or_default()
}
