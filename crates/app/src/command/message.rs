//! Messages as people write and read them.

use lcs_domain::{Payload, PayloadLimits, RepositoryError};
use serde_json::{Value, json};
use thiserror::Error;

/// What was said and cannot be stored.
#[derive(Debug, Error)]
pub(super) enum Unsaid {
    #[error("what was said is too large: {size_bytes} bytes, and the limit is {limit_bytes}")]
    TooLarge { size_bytes: usize, limit_bytes: usize },
    #[error("what was said cannot be stored: {0}")]
    Refused(RepositoryError),
}

/// What a user says, in the form that agents take.
pub(super) fn said(text: &str, limits: PayloadLimits) -> Result<Payload, Unsaid> {
    let messages = json!([{ "role": "user", "content": text }]);
    Payload::parse_within(&messages.to_string(), limits).map_err(|error| match error {
        RepositoryError::TooLarge { size_bytes, limit_bytes, .. } => {
            Unsaid::TooLarge { size_bytes, limit_bytes }
        }
        error => Unsaid::Refused(error),
    })
}

/// The text of an agent's answer: its `content` where that is a text, else the whole document.
pub(super) fn text(answer: &Payload) -> String {
    match serde_json::from_str(answer.as_json()) {
        Ok(Value::String(text)) => text,
        Ok(Value::Object(mut message)) => match message.remove("content") {
            Some(Value::String(text)) => text,
            _ => answer.as_json().to_owned(),
        },
        _ => answer.as_json().to_owned(),
    }
}

/// Who said what, in a document that may be one message or a list of them.
pub(super) fn dialogue(messages: &Payload) -> Vec<(String, String)> {
    let whole = || vec![("message".to_owned(), messages.as_json().to_owned())];
    let list = match serde_json::from_str(messages.as_json()) {
        Ok(Value::Array(list)) => list,
        Ok(message @ Value::Object(_)) => vec![message],
        _ => return whole(),
    };
    let line = |message: &Value| {
        let role = message.get("role")?.as_str()?.to_owned();
        Some((role, message.get("content")?.as_str()?.to_owned()))
    };
    list.iter().map(line).collect::<Option<Vec<_>>>().unwrap_or_else(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(json: &str) -> Payload {
        Payload::parse(json).unwrap()
    }

    #[test]
    fn what_is_said_comes_back_as_a_line() {
        let said = said("a \"quoted\"\nline", PayloadLimits::default()).unwrap();
        assert_eq!(dialogue(&said), [("user".to_owned(), "a \"quoted\"\nline".to_owned())]);
    }

    #[test]
    fn answers_of_other_forms_are_shown_whole() {
        assert_eq!(text(&payload(r#"{"role":"assistant","content":"yes"}"#)), "yes");
        assert_eq!(text(&payload(r#""yes""#)), "yes");
        assert_eq!(text(&payload(r#"{"content":[1]}"#)), r#"{"content":[1]}"#);
        assert_eq!(dialogue(&payload("[1]")), [("message".to_owned(), "[1]".to_owned())]);
        assert!(dialogue(&payload("[]")).is_empty());
    }
}
