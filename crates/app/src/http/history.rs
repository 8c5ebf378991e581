//! A conversation's history as LCS shows it: turn by turn, each with its messages and tools.

use chrono::{DateTime, Utc};
use lcs_domain::agent::Usage;
use lcs_domain::{Conversation, Metadata, NewTurn, Payload, RepositoryError, Turn};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::answer::zulu_format;

/// What LCS writes where it does not know a turn's model or provider.
const UNKNOWN: &str = "N/A";

/// A conversation with its history.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConversationAnswer {
    /// The conversation, as the caller called it.
    pub(super) conversation_id: String,
    /// Its turns, the oldest first.
    pub(super) chat_history: Vec<ChatTurn>,
}

/// A turn as LCS shows it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChatTurn {
    /// What was said, by the user and by the assistant.
    pub(super) messages: Vec<ChatMessage>,
    /// The tools that the model called.
    #[schema(value_type = Vec<Object>)]
    pub(super) tool_calls: Vec<Value>,
    /// What the tools answered.
    #[schema(value_type = Vec<Object>)]
    pub(super) tool_results: Vec<Value>,
    /// Whose model answered.
    pub(super) provider: String,
    /// The model that answered.
    pub(super) model: String,
    /// When the turn began.
    #[schema(format = DateTime)]
    pub(super) started_at: String,
    /// When it ended.
    #[schema(format = DateTime)]
    pub(super) completed_at: String,
}

/// A message as LCS shows it.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct ChatMessage {
    /// What was said.
    pub(super) content: String,
    /// Who said it.
    #[serde(rename = "type")]
    pub(super) kind: Speaker,
    /// The documents that an assistant's message refers to.
    #[schema(value_type = Option<Vec<Object>>)]
    pub(super) referenced_documents: Option<Vec<Value>>,
}

/// Who said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Speaker {
    /// The user.
    User,
    /// The model.
    Assistant,
    /// Whoever runs the service.
    System,
    /// Whoever made it.
    Developer,
}

impl ChatTurn {
    /// The turn as LCS shows it.
    pub(super) fn of(turn: &Turn, conversation: &Conversation) -> Result<Self, RepositoryError> {
        Self::made(
            &turn.input_messages,
            turn.output_message.as_ref(),
            &turn.metadata,
            (turn.started_at, turn.completed_at),
            &conversation.model_id,
        )
    }

    /// A turn that is not stored, of a conversation with this model.
    pub(super) fn of_new(turn: &NewTurn, model_id: &str) -> Result<Self, RepositoryError> {
        let times = (turn.started_at(), turn.completed_at());
        Self::made(turn.input_messages(), turn.output_message(), turn.metadata(), times, model_id)
    }

    fn made(
        input_messages: &Payload,
        output_message: Option<&Payload>,
        metadata: &Metadata,
        (started_at, completed_at): (DateTime<Utc>, DateTime<Utc>),
        model_id: &str,
    ) -> Result<Self, RepositoryError> {
        let metadata = metadata.to_object()?;
        let output = output_message.map(Payload::to_value).transpose()?;
        let (model, provider) = model_and_provider(&metadata);
        let mut messages = messages_of(&input_messages.to_value()?);
        messages.extend(output.as_ref().map(Output::of).map(Output::into_message));
        let tools = |key| output.as_ref().map(|output| values(output, key)).unwrap_or_default();
        Ok(Self {
            messages,
            tool_calls: tools("tool_calls"),
            tool_results: tools("tool_results"),
            provider: provider.unwrap_or_else(|| UNKNOWN.to_owned()),
            model: model.unwrap_or_else(|| model_id.to_owned()),
            started_at: zulu_format(started_at),
            completed_at: zulu_format(completed_at),
        })
    }
}

/// The model and provider in a turn's metadata: what the system noted, else what the caller did.
#[must_use]
pub(super) fn model_and_provider(metadata: &Map<String, Value>) -> (Option<String>, Option<String>) {
    let text = |noted: &str, written: &str| {
        let value = metadata.get(noted).or_else(|| metadata.get(written))?;
        value.as_str().map(str::to_owned)
    };
    (text(Usage::MODEL, "model"), text(Usage::PROVIDER, "provider"))
}

/// What an output message says.
#[derive(Debug, PartialEq)]
pub(super) struct Output {
    /// Its text.
    pub(super) text: String,
    /// The documents that it refers to.
    pub(super) referenced_documents: Option<Vec<Value>>,
    /// The tools that the model called.
    pub(super) tool_calls: Vec<Value>,
    /// What they answered.
    pub(super) tool_results: Vec<Value>,
    /// Whether it was cut off at the model's limit.
    pub(super) truncated: bool,
}

impl Output {
    /// What `output` says, whatever it is: a host may store any document as its output.
    #[must_use]
    pub(super) fn of(output: &Value) -> Self {
        Self {
            text: text_of(output.get("content").unwrap_or(output)),
            referenced_documents: output.get("referenced_documents").and_then(Value::as_array).cloned(),
            tool_calls: values(output, "tool_calls"),
            tool_results: values(output, "tool_results"),
            truncated: output.get("truncated").and_then(Value::as_bool).unwrap_or_default(),
        }
    }

    fn into_message(self) -> ChatMessage {
        ChatMessage {
            content: self.text,
            kind: Speaker::Assistant,
            referenced_documents: self.referenced_documents,
        }
    }
}

/// The objects in a list: what is no object is no tool's.
fn values(output: &Value, key: &str) -> Vec<Value> {
    let items = output.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    items.into_iter().filter(Value::is_object).collect()
}

fn messages_of(input: &Value) -> Vec<ChatMessage> {
    let message = |value: &Value| ChatMessage {
        content: text_of(value.get("content").unwrap_or(value)),
        kind: match value.get("role").and_then(Value::as_str) {
            Some("assistant") => Speaker::Assistant,
            Some("system") => Speaker::System,
            Some("developer") => Speaker::Developer,
            _ => Speaker::User,
        },
        referenced_documents: None,
    };
    match input {
        Value::Array(messages) => messages.iter().map(message).collect(),
        other => vec![message(other)],
    }
}

/// The text in a message's content: a text, or a list of parts with texts in them; of anything else its JSON.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Array(parts) if parts.iter().all(|part| part.get("text").is_some_and(Value::is_string)) => {
            parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn messages_are_shown_whatever_their_form() {
        let said = |input: Value| {
            messages_of(&input).into_iter().map(|message| (message.kind, message.content)).collect::<Vec<_>>()
        };
        assert_eq!(said(json!("hi")), [(Speaker::User, "hi".to_owned())]);
        assert_eq!(
            said(
                json!([{"role": "system", "content": "be kind"}, {"role": "user", "content": [{"text": "a"}, {"text": "b"}]}])
            ),
            [(Speaker::System, "be kind".to_owned()), (Speaker::User, "ab".to_owned())]
        );
        assert_eq!(said(json!({"x": 1})), [(Speaker::User, "{\"x\":1}".to_owned())]);
        assert_eq!(said(json!([])), []);
    }

    #[test]
    fn an_output_of_another_form_is_shown_as_it_is() {
        assert_eq!(Output::of(&json!("plain")).text, "plain");
        let output = Output::of(&json!({"content": "x", "tool_calls": [1, {"id": "a"}], "truncated": true}));
        assert_eq!((output.text.as_str(), output.tool_calls.len(), output.truncated), ("x", 1, true));
    }
}
