//! An answer while it comes in: what is heard of it, and what is stored of it in the end.

use lcs_domain::Payload;
use lcs_domain::agent::{AgentAnswer, AgentError, AnswerListener, AnswerPiece, Model, Usage};
use serde_json::{Value, json};

use super::{failure, tool};

/// What the message around texts and tools takes of the space, at the most.
const ENVELOPE_BYTES: usize = 256;

/// An answer that comes in piece by piece.
pub(super) struct Incoming<'a> {
    listener: &'a dyn AnswerListener,
    model: Model,
    text: String,
    tool_calls: Vec<Value>,
    tool_results: Vec<Value>,
    truncated: bool,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    /// How many bytes of JSON there is still space for.
    space_bytes: usize,
}

impl<'a> Incoming<'a> {
    pub(super) fn new(listener: &'a dyn AnswerListener, model: Model, max_bytes: usize) -> Self {
        Self {
            listener,
            model,
            text: String::new(),
            tool_calls: Vec::new(),
            tool_results: Vec::new(),
            truncated: false,
            input_tokens: None,
            output_tokens: None,
            space_bytes: max_bytes.saturating_sub(ENVELOPE_BYTES),
        }
    }

    /// Whether it has been cut: what comes behind is not taken.
    pub(super) const fn is_cut(&self) -> bool {
        self.truncated
    }

    /// Ends it here, as one that is not whole.
    pub(super) const fn cut(&mut self) {
        self.truncated = true;
    }

    /// Takes some more of the text.
    pub(super) fn say(&mut self, text: String) {
        if !text.is_empty() && self.has_space(&text) {
            self.text.push_str(&text);
            self.listener.hear(AnswerPiece::Text(text));
        }
    }

    /// Takes an item of the output as far as it is a tool's; one that was taken before is not taken again.
    pub(super) fn item(&mut self, item: &Value) {
        for piece in tool::pieces(item) {
            let (taken, value) = match &piece {
                AnswerPiece::ToolCall(value) => (&mut self.tool_calls, value),
                AnswerPiece::ToolResult(value) => (&mut self.tool_results, value),
                AnswerPiece::Text(_) => continue,
            };
            if taken.iter().any(|taken| taken.get("id") == value.get("id")) {
                continue;
            }
            let value = value.clone();
            if !self.has_space(&value) {
                return;
            }
            match &piece {
                AnswerPiece::ToolResult(_) => self.tool_results.push(value),
                _ => self.tool_calls.push(value),
            }
            self.listener.hear(piece);
        }
    }

    /// Takes the whole response at its end, and so what had not come in pieces.
    ///
    /// # Errors
    /// Where the response says that it failed.
    pub(super) fn end(&mut self, response: &Value) -> Result<(), AgentError> {
        let status = response.get("status").and_then(Value::as_str).unwrap_or_default();
        if matches!(status, "failed" | "cancelled") {
            return Err(failure::told_by(response));
        }
        let tokens = |key: &str| response.get("usage")?.get(key)?.as_u64();
        (self.input_tokens, self.output_tokens) = (tokens("input_tokens"), tokens("output_tokens"));
        let output = response.get("output").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for item in output {
            self.item(item);
        }
        let text: String = output.iter().map(text_of).collect();
        // What was heard is what is stored; only what is missing behind it is heard now.
        if let Some(missing) = text.strip_prefix(&self.text) {
            self.say(missing.to_owned());
        }
        self.truncated |= status == "incomplete";
        Ok(())
    }

    /// What is stored of it, and what is known about it.
    pub(super) fn answer(self) -> Result<AgentAnswer, AgentError> {
        let whole = self.message(true);
        // A tool's document may be one that no store takes; the text is not lost with it.
        let output_message = Payload::from_value(&whole).or_else(|error| {
            tracing::warn!(%error, "the answer's tool calls cannot be stored: it is stored without them");
            Payload::from_value(&self.message(false))
        });
        let output_message = output_message.map_err(|error| AgentError {
            source: Some(error.into()),
            ..AgentError::new("its answer cannot be stored")
        })?;
        let usage = Usage {
            model: Some(self.model.name),
            provider: Some(self.model.provider),
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
        };
        Ok(AgentAnswer { output_message, usage })
    }

    fn message(&self, with_tools: bool) -> Value {
        let mut message = json!({ "role": "assistant", "content": self.text });
        let mut set = |key: &str, value: Value| {
            if let Some(message) = message.as_object_mut() {
                message.insert(key.to_owned(), value);
            }
        };
        if with_tools && !self.tool_calls.is_empty() {
            set("tool_calls", Value::from(self.tool_calls.clone()));
        }
        if with_tools && !self.tool_results.is_empty() {
            set("tool_results", Value::from(self.tool_results.clone()));
        }
        if self.truncated {
            set("truncated", Value::Bool(true));
        }
        message
    }

    /// Takes the space for one more piece; without it the answer ends here.
    fn has_space<T: serde::Serialize>(&mut self, piece: &T) -> bool {
        let size = serde_json::to_string(piece).map_or(usize::MAX, |json| json.len());
        if self.truncated || size > self.space_bytes {
            self.truncated = true;
            return false;
        }
        self.space_bytes -= size;
        true
    }
}

/// The text of a message in the output: what is said in it, or why nothing is.
fn text_of(item: &Value) -> String {
    let parts = item.get("content").filter(|_| item.get("type").and_then(Value::as_str) == Some("message"));
    let text = |part: &Value| part.get("text").or_else(|| part.get("refusal"))?.as_str().map(str::to_owned);
    parts.and_then(Value::as_array).into_iter().flatten().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<AnswerPiece>>);

    impl AnswerListener for Heard {
        fn hear(&self, piece: AnswerPiece) {
            self.0.lock().unwrap().push(piece);
        }
    }

    fn model() -> Model {
        Model { name: "m".to_owned(), provider: "p".to_owned() }
    }

    fn stored(incoming: Incoming<'_>) -> Value {
        incoming.answer().unwrap().output_message.to_value().unwrap()
    }

    fn says(text: &str) -> Value {
        json!({ "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": text }] })
    }

    #[test]
    fn what_the_end_holds_and_the_pieces_did_not_is_heard_and_stored() {
        let heard = Heard::default();
        let mut incoming = Incoming::new(&heard, model(), 10_000);
        let call = json!({ "type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}" });
        incoming.say("Two ".to_owned());
        incoming.item(&call);
        let response = json!({ "status": "completed", "output": [call, says("Two pieces.")],
                               "usage": { "input_tokens": 3, "output_tokens": 2 } });
        incoming.end(&response).unwrap();
        let answer = incoming.answer().unwrap();
        let expected = json!({ "role": "assistant", "content": "Two pieces.",
            "tool_calls": [{ "id": "c1", "name": "f", "args": {}, "type": "tool_call" }] });
        assert_eq!(answer.output_message.to_value().unwrap(), expected);
        assert_eq!((answer.usage.input_tokens, answer.usage.output_tokens), (Some(3), Some(2)));
        let texts =
            heard.0.lock().unwrap().iter().filter(|piece| matches!(piece, AnswerPiece::Text(_))).count();
        assert_eq!((texts, heard.0.lock().unwrap().len()), (2, 3));
    }

    #[test]
    fn an_answer_that_grows_too_large_is_cut_and_says_so() {
        let heard = Heard::default();
        let mut incoming = Incoming::new(&heard, model(), ENVELOPE_BYTES + 20);
        for _ in 0..5 {
            incoming.say("12345678".to_owned());
        }
        assert!(incoming.is_cut());
        assert_eq!(
            stored(incoming),
            json!({ "role": "assistant", "content": "1234567812345678", "truncated": true })
        );
    }

    #[test]
    fn an_incomplete_response_is_truncated_and_a_failed_one_is_a_failure() {
        let heard = Heard::default();
        let mut incoming = Incoming::new(&heard, model(), 10_000);
        incoming.end(&json!({ "status": "incomplete", "output": [says("Half")] })).unwrap();
        assert_eq!(stored(incoming), json!({ "role": "assistant", "content": "Half", "truncated": true }));
        let mut incoming = Incoming::new(&heard, model(), 10_000);
        assert!(incoming.end(&json!({ "status": "failed", "error": { "code": "server_error" } })).is_err());
    }

    #[test]
    fn a_tool_s_document_that_no_store_takes_does_not_take_the_text_along() {
        let heard = Heard::default();
        let mut incoming = Incoming::new(&heard, model(), 10_000);
        incoming.say("Done.".to_owned());
        let deep = format!("{}1{}", "{\"a\":".repeat(70), "}".repeat(70));
        incoming.item(&json!({ "type": "function_call", "call_id": "c", "name": "f", "arguments": deep }));
        assert_eq!(stored(incoming), json!({ "role": "assistant", "content": "Done." }));
    }

    #[test]
    fn odd_responses_are_answers_without_content() {
        for odd in [
            json!({}),
            json!({ "output": null, "usage": null }),
            json!({ "output": [1, { "type": "message" }] }),
        ] {
            let heard = Heard::default();
            let mut incoming = Incoming::new(&heard, model(), 10_000);
            incoming.end(&odd).unwrap();
            assert_eq!(stored(incoming), json!({ "role": "assistant", "content": "" }));
        }
    }
}
