//! The events of a streamed answer, in the form that today's clients read.

use axum::body::Bytes;
use lcs_domain::{Durability, RequestId};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::answering::Answer;
use super::error::ApiError;
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

    fn json(&self) -> Value {
        match self {
            Self::Start { conversation_id, request_id } => json!({
                "event": "start", "data": { "conversation_id": conversation_id, "request_id": request_id },
            }),
            Self::Token { id, token } => json!({ "event": "token", "data": { "id": id, "token": token } }),
            Self::ToolCall(call) => json!({ "event": "tool_call", "data": call }),
            Self::ToolResult(result) => json!({ "event": "tool_result", "data": result }),
            Self::TurnComplete { id, token } => {
                json!({ "event": "turn_complete", "data": { "id": id, "token": token } })
            }
            Self::Interrupted { request_id } => {
                json!({ "event": "interrupted", "data": { "request_id": request_id } })
            }
            Self::End(answer) => {
                let mut end = json!({
                    "event": "end",
                    "data": {
                        "referenced_documents": answer.output.referenced_documents.clone().unwrap_or_default(),
                        "truncated": answer.output.truncated.then_some(true),
                        "input_tokens": answer.input_tokens,
                        "output_tokens": answer.output_tokens,
                    },
                    "available_quotas": {},
                });
                // The headers had gone before it was known. What is durable needs no word beside the contract's.
                if let (Some(end), true) = (end.as_object_mut(), answer.durability != Durability::Durable) {
                    end.insert("persistence_durability".to_owned(), answer.durability.as_str().into());
                }
                end
            }
            Self::Error(error) => {
                let detail = error.detail();
                json!({ "event": "error", "data": {
                    "status_code": error.status().as_u16(), "response": detail.response, "cause": detail.cause,
                } })
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
