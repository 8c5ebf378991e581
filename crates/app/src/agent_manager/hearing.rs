//! Listening to an answer while it is made, and stopping it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lcs_domain::agent::{AnswerListener, AnswerPiece};
use lcs_domain::{Payload, RepositoryError};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Who hears an answer while it is made, and how it is stopped. By default nobody, and never.
#[derive(Clone)]
pub struct Hearing {
    /// Hears each piece as it comes. A replayed answer comes without pieces.
    pub listener: Arc<dyn AnswerListener>,
    /// Cancelled, it stops the answer: what has been said by then is stored.
    pub stop: CancellationToken,
}

impl Default for Hearing {
    fn default() -> Self {
        Self { listener: Arc::new(Nobody), stop: CancellationToken::new() }
    }
}

impl fmt::Debug for Hearing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hearing").field("stop", &self.stop).finish_non_exhaustive()
    }
}

struct Nobody;

impl AnswerListener for Nobody {
    fn hear(&self, _piece: AnswerPiece) {}
}

/// Passes the pieces on, and keeps them in case that is all there will be.
pub(super) struct Recorder {
    listener: Arc<dyn AnswerListener>,
    said: Mutex<Said>,
}

#[derive(Default)]
struct Said {
    text: String,
    tool_calls: Vec<Value>,
    tool_results: Vec<Value>,
}

impl Recorder {
    pub(super) fn new(listener: Arc<dyn AnswerListener>) -> Self {
        Self { listener, said: Mutex::default() }
    }

    /// What has been said so far, as a message.
    pub(super) fn said(&self) -> Result<Payload, RepositoryError> {
        let said = self.lock();
        let mut message = json!({ "role": "assistant", "content": said.text });
        for (key, values) in [("tool_calls", &said.tool_calls), ("tool_results", &said.tool_results)] {
            if let (Some(message), false) = (message.as_object_mut(), values.is_empty()) {
                message.insert(key.to_owned(), Value::from(values.clone()));
            }
        }
        Payload::from_value(&message)
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AnswerListener for Recorder {
    fn hear(&self, piece: AnswerPiece) {
        let mut said = self.lock();
        match &piece {
            AnswerPiece::Text(text) => said.text.push_str(text),
            AnswerPiece::ToolCall(call) => said.tool_calls.push(call.clone()),
            AnswerPiece::ToolResult(result) => said.tool_results.push(result.clone()),
        }
        drop(said);
        self.listener.hear(piece);
    }
}
