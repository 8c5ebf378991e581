//! What `doctor` finds: facts about a store's rows that must not be, each with its cure.

use serde::Serialize;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Works, but should be looked at.
    Warning,
    /// A promise is broken or will be.
    Error,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check's name: a stable identifier like `orphaned_turns`, for programs and the manual.
    pub check: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What was found, in a sentence for people, without any row's content.
    pub detail: String,
    /// What to do about it; `None` where nothing is to be done.
    pub remedy: Option<String>,
}

impl Finding {
    /// A check that found nothing wrong.
    pub fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, severity: Severity::Ok, detail: detail.into(), remedy: None }
    }

    /// A check that found something to look at.
    pub fn warning(check: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, severity: Severity::Warning, detail: detail.into(), remedy: Some(remedy.into()) }
    }

    /// A check that found a broken promise.
    pub fn error(check: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, severity: Severity::Error, detail: detail.into(), remedy: Some(remedy.into()) }
    }
}
