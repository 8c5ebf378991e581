//! Looking for conversations by their words.
//!
//! A conversation is found where its topic has all the words that are asked for, or one of its turns has; words in quotes
//! have to follow one another there. Of a turn
//! the text is searched: the strings that are named `content` or `text` at any depth of its messages, those in lists
//! of these names, and a message that is itself a string; the first [`SEARCHED_CHARACTERS`] of them. A word is letters and
//! digits; upper and lower case are the same. What is a letter, which letters differ in case alone, and which characters of a
//! longer turn are the first, a database may see in its own way.

use std::collections::HashSet;
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

/// The words that are looked for: 1 to [`MAX_WORDS`], of which those in quotes are a phrase: they follow one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchQuery {
    /// In lower case.
    words: Vec<String>,
    /// As they were written, for a store that folds case by its own rules: those of a phrase together, others alone.
    written: Vec<Vec<String>>,
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

    /// The words as they were written: those of a phrase together, others alone.
    #[must_use]
    pub fn written(&self) -> &[Vec<String>] {
        &self.written
    }

    /// Whether some of them have to follow one another.
    #[must_use]
    pub fn has_phrases(&self) -> bool {
        self.written.iter().any(|term| term.len() > 1)
    }

    /// Whether all of them are in `text`, and phrases word for word.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let found: Vec<String> = words(text).collect();
        let each: HashSet<&str> = found.iter().map(String::as_str).collect();
        let mut rest = self.words.as_slice();
        self.written.iter().all(|term| {
            let (term, behind) = rest.split_at(term.len().min(rest.len()));
            rest = behind;
            match term {
                [] => true,
                [word] => each.contains(word.as_str()),
                phrase => found.windows(phrase.len()).any(|words| words == phrase),
            }
        })
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
        let written = terms(text);
        if words.is_empty() || words.len() > MAX_WORDS {
            let reason = format!("write 1 to {MAX_WORDS} words, of letters and digits");
            return Err(RepositoryError::invalid("/query", reason));
        }
        Ok(Self { words, written })
    }
}

impl fmt::Display for SearchQuery {
    /// The words as they were written, with a space between them, and phrases in quotes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, term) in self.written.iter().enumerate() {
            let space = if place > 0 { " " } else { "" };
            match term.as_slice() {
                [word] => write!(f, "{space}{word}")?,
                phrase => write!(f, "{space}\"{}\"", phrase.join(" "))?,
            }
        }
        Ok(())
    }
}

/// The words of what is asked for, those between two quotes together. A quote without a second one is any other mark.
fn terms(text: &str) -> Vec<Vec<String>> {
    let last = text.split('"').count() - 1;
    let mut terms = Vec::new();
    for (place, part) in text.split('"').enumerate() {
        let words = cut(part).map(str::to_owned);
        if place % 2 == 1 && place < last {
            terms.push(words.collect());
        } else {
            terms.extend(words.map(|word| vec![word]));
        }
    }
    terms.retain(|term: &Vec<String>| !term.is_empty());
    terms
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
    fn the_words_of_a_phrase_follow_one_another() {
        for (asked, shown, found) in [
            ("\"pod web-1\"", "\"pod web 1\"", true),
            ("\"POD\"  1", "POD 1", true),
            ("\"web pod\"", "\"web pod\"", false),
            ("\"the pod\" \"1 restarts\"the", "\"the pod\" \"1 restarts\" the", true),
            ("\"the pod\" \"web restarts\"", "\"the pod\" \"web restarts\"", false),
            // The third quote is any mark.
            ("\"the pod\" \"1 web", "\"the pod\" 1 web", true),
            ("\"1 web", "1 web", true),
            ("\"the pod web 1 restarts now\"", "\"the pod web 1 restarts now\"", false),
        ] {
            let query: SearchQuery = asked.parse().unwrap();
            assert_eq!(query.to_string(), shown);
            assert_eq!(shown.parse::<SearchQuery>().unwrap(), query, "{asked}");
            assert_eq!(query.has_phrases(), shown.contains('"'), "{asked}");
            assert_eq!(query.matches("The pod, web-1, restarts"), found, "{asked}");
        }
    }

    #[test]
    fn words_are_whole_and_their_case_is_none() {
        let query: SearchQuery = " Pod, web-1! ".parse().unwrap();
        assert_eq!(query.words(), ["pod", "web", "1"]);
        assert_eq!(query.to_string(), "Pod web 1");
        assert!(query.matches("the WEB (1) has no POD"));
        assert!(!query.matches("pods on the web, 1"));
        for refused in
            ["", " - ", "\"\" \"-\"", &"a ".repeat(MAX_WORDS + 1), &"a".repeat(MAX_QUERY_BYTES + 1)]
        {
            assert!(refused.parse::<SearchQuery>().is_err(), "{refused}");
        }
    }
}
