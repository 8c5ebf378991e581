//! Looking for conversations by their words.
//!
//! A conversation is found where its topic has all the words that are asked for, or one of its turns has. Of a turn
//! the text is searched: the strings that are named `content` or `text` at any depth of its messages, those in lists
//! of these names, and a message that is itself a string; the first [`SEARCHED_CHARACTERS`] of them. A word is letters and
//! digits; upper and lower case are the same. What is a letter, which letters differ in case alone, and which characters of a
//! longer turn are the first, a database may see in its own way.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::{ConversationCursor, Payload, RepositoryError};

/// How many characters of a turn's text are searched.
pub const SEARCHED_CHARACTERS: usize = 100_000;
/// The longest text that may be asked for, in bytes.
pub const MAX_QUERY_BYTES: usize = 256;
/// The most words.
pub const MAX_WORDS: usize = 16;

/// The words that are looked for: 1 to [`MAX_WORDS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchQuery {
    /// In lower case.
    words: Vec<String>,
    /// As they were written, for a store that folds case by its own rules.
    written: Vec<String>,
}

/// What of a user's conversations is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchConversations {
    /// The words.
    pub query: SearchQuery,
    /// Go on behind this one; `None`: begin with the newest.
    pub after: Option<ConversationCursor>,
    /// How many at most.
    pub limit: u32,
}

impl SearchQuery {
    /// The words, in lower case.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// The words as they were written.
    #[must_use]
    pub fn written(&self) -> &[String] {
        &self.written
    }

    /// Whether all of them are in `text`.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let found: std::collections::HashSet<String> = words(text).collect();
        self.words.iter().all(|word| found.contains(word))
    }
}

impl FromStr for SearchQuery {
    type Err = RepositoryError;

    fn from_str(text: &str) -> Result<Self, RepositoryError> {
        if text.len() > MAX_QUERY_BYTES {
            let (size_bytes, limit_bytes) = (text.len(), MAX_QUERY_BYTES);
            return Err(RepositoryError::TooLarge { pointer: "/query".into(), size_bytes, limit_bytes });
        }
        let words: Vec<String> = words(text).collect();
        let written = cut(text).map(str::to_owned).collect();
        if words.is_empty() || words.len() > MAX_WORDS {
            let reason = format!("write 1 to {MAX_WORDS} words, of letters and digits");
            return Err(RepositoryError::invalid("/query", reason));
        }
        Ok(Self { words, written })
    }
}

impl fmt::Display for SearchQuery {
    /// The words as they were written, with a space between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written.join(" "))
    }
}

/// The words of a text, in lower case.
pub fn words(text: &str) -> impl Iterator<Item = String> {
    cut(text).map(str::to_lowercase)
}

fn cut(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// The text of a turn that is searched, of its messages and its answer.
pub fn turn_text(input: &Payload, output: Option<&Payload>) -> Result<String, RepositoryError> {
    let mut found = Vec::new();
    for payload in std::iter::once(input).chain(output) {
        collect(&payload.to_value()?, true, &mut found);
    }
    Ok(found.join(" ").chars().take(SEARCHED_CHARACTERS).collect())
}

/// Adds the texts in `value`, whose own strings are text where `is_named`.
fn collect(value: &Value, is_named: bool, found: &mut Vec<String>) {
    match value {
        Value::String(text) if is_named => found.push(text.clone()),
        Value::Array(elements) => {
            for element in elements {
                // A list in a list has no name.
                collect(element, is_named && !element.is_array(), found);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                collect(member, name == "content" || name == "text", found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(input: &str, output: Option<&str>) -> String {
        let output = output.map(|json| Payload::parse(json).unwrap());
        turn_text(&Payload::parse(input).unwrap(), output.as_ref()).unwrap()
    }

    #[test]
    fn the_text_of_a_turn_is_what_was_said() {
        let input =
            r#"[{"role":"user","content":"one"},{"content":[{"type":"input_text","text":"two"},"three"]}]"#;
        let output =
            r#"{"role":"assistant","content":"four","tool_calls":[{"name":"no"}],"meta":{"text":"five"}}"#;
        assert_eq!(text(input, Some(output)), "one two three four five");
        assert_eq!(text(r#""said""#, None), "said");
        assert_eq!(text(r#"["a",["no"],{"tags":["no"]}]"#, Some("null")), "a");
        let long = format!("\"{}\"", "é ".repeat(SEARCHED_CHARACTERS));
        assert_eq!(text(&long, None).chars().count(), SEARCHED_CHARACTERS);
    }

    #[test]
    fn words_are_whole_and_their_case_is_none() {
        let query: SearchQuery = " Pod, web-1! ".parse().unwrap();
        assert_eq!(query.words(), ["pod", "web", "1"]);
        assert_eq!(query.to_string(), "Pod web 1");
        assert!(query.matches("the WEB (1) has no POD"));
        assert!(!query.matches("pods on the web, 1"));
        for refused in ["", " - ", &"a ".repeat(MAX_WORDS + 1), &"a".repeat(MAX_QUERY_BYTES + 1)] {
            assert!(refused.parse::<SearchQuery>().is_err(), "{refused}");
        }
    }
}
