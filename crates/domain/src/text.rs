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
        check_name(&text, pointer)?;
        Ok(Self(text))
    }

    /// A topic summary: at most [`MAX_SUMMARY_BYTES`] bytes.
    pub fn summary(text: impl Into<String>, pointer: &str) -> Result<Self, RepositoryError> {
        let text = text.into();
        check(&text, MAX_SUMMARY_BYTES, pointer)?;
        Ok(Self(text))
    }

    /// A system prompt: at most [`MAX_PROMPT_BYTES`] bytes.
    pub fn prompt(text: impl Into<String>, pointer: &str) -> Result<Self, RepositoryError> {
        let text = text.into();
        check(&text, MAX_PROMPT_BYTES, pointer)?;
        Ok(Self(text))
    }

    /// The text that a store gives back: it was a [`Text`] once, and is not checked again.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// Refuses what is no [`name`](Self::name): every text is of this one type.
    pub(crate) fn require_name(&self, pointer: &str) -> Result<(), RepositoryError> {
        check_name(&self.0, pointer)
    }

    /// Refuses what is no [`summary`](Self::summary).
    pub(crate) fn require_summary(&self, pointer: &str) -> Result<(), RepositoryError> {
        check(&self.0, MAX_SUMMARY_BYTES, pointer)
    }

    /// Refuses what is no [`prompt`](Self::prompt).
    pub(crate) fn require_prompt(&self, pointer: &str) -> Result<(), RepositoryError> {
        check(&self.0, MAX_PROMPT_BYTES, pointer)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check_name(text: &str, pointer: &str) -> Result<(), RepositoryError> {
    if text.trim().is_empty() {
        return Err(RepositoryError::invalid(pointer, "it is empty: write a name"));
    }
    check(text, MAX_NAME_BYTES, pointer)
}

fn check(text: &str, limit_bytes: usize, pointer: &str) -> Result<(), RepositoryError> {
    if text.len() > limit_bytes {
        let size_bytes = text.len();
        return Err(RepositoryError::TooLarge { pointer: pointer.into(), size_bytes, limit_bytes });
    }
    if text.contains('\0') {
        return Err(RepositoryError::invalid(pointer, "it contains U+0000: remove that character"));
    }
    Ok(())
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
