//! Short texts that every store keeps exactly: names, summaries, prompts.

use std::fmt;
use std::ops::Deref;

use serde::Serialize;

use crate::RepositoryError;

/// The longest model id and external id, in bytes. PostgreSQL's index rows set the order of magnitude.
pub const MAX_NAME_BYTES: usize = 512;
/// The longest topic summary, in bytes.
pub const MAX_SUMMARY_BYTES: usize = 16 * 1024;
/// The longest system prompt, in bytes.
pub const MAX_PROMPT_BYTES: usize = 1024 * 1024;

/// A text without U+0000, which PostgreSQL's text columns cannot hold, and within a limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Text(String);

impl Text {
    /// A name: 1 to [`MAX_NAME_BYTES`] bytes. `pointer` is where it stands in the caller's request.
    pub fn name(text: impl Into<String>, pointer: &str) -> Result<Self, RepositoryError> {
        let text = text.into();
        if text.trim().is_empty() {
            return Err(RepositoryError::invalid(pointer, "it is empty: write a name"));
        }
        Self::within(text, MAX_NAME_BYTES, pointer)
    }

    /// A topic summary: at most [`MAX_SUMMARY_BYTES`] bytes.
    pub fn summary(text: impl Into<String>, pointer: &str) -> Result<Self, RepositoryError> {
        Self::within(text.into(), MAX_SUMMARY_BYTES, pointer)
    }

    /// A system prompt: at most [`MAX_PROMPT_BYTES`] bytes.
    pub fn prompt(text: impl Into<String>, pointer: &str) -> Result<Self, RepositoryError> {
        Self::within(text.into(), MAX_PROMPT_BYTES, pointer)
    }

    /// The text that a store gives back: it was a [`Text`] once, and is not checked again.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    fn within(text: String, limit_bytes: usize, pointer: &str) -> Result<Self, RepositoryError> {
        if text.len() > limit_bytes {
            let size_bytes = text.len();
            return Err(RepositoryError::TooLarge { pointer: pointer.into(), size_bytes, limit_bytes });
        }
        if text.contains('\0') {
            return Err(RepositoryError::invalid(pointer, "it contains U+0000: remove that character"));
        }
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p10_a_nul_is_refused_with_a_pointer() {
        assert_eq!(
            Text::summary("a\0b", "/topic_summary").unwrap_err().to_string(),
            "invalid value at /topic_summary: it contains U+0000: remove that character"
        );
    }

    #[test]
    fn limits_are_inclusive() {
        assert!(Text::name("m".repeat(MAX_NAME_BYTES), "/model_id").is_ok());
        assert!(matches!(
            Text::name("m".repeat(MAX_NAME_BYTES + 1), "/model_id"),
            Err(RepositoryError::TooLarge { size_bytes: 513, limit_bytes: 512, .. })
        ));
        assert!(matches!(Text::name("  ", "/model_id"), Err(RepositoryError::Invalid { .. })));
        assert!(Text::summary("", "/topic_summary").is_ok());
    }
}
