//! Parameters in paths and queries, refused in the contract's shape.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path, Query};
use http::StatusCode;
use http::request::Parts;
use lcs_domain::PageLimit;
use utoipa::IntoParams;

use super::error::ApiError;
use super::problem::ValidationProblem;

/// The conversation in the path, for the document.
#[derive(IntoParams)]
#[expect(dead_code, reason = "it describes the parameter, which is read as a text")]
#[into_params(parameter_in = Path)]
pub(super) struct ConversationPath {
    /// The conversation: a UUID, or 48 hexadecimal digits; the other forms that LCS takes are taken too.
    #[param(
        pattern = r"^(conv_)?[0-9A-Fa-f]{48}$|^[0-9A-Fa-f]{32}$|^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
    )]
    conversation_id: String,
}

/// The agent in the path, for the document.
#[derive(IntoParams)]
#[expect(dead_code, reason = "it describes the parameter, which is read as a text")]
#[into_params(parameter_in = Path)]
pub(super) struct AgentPath {
    /// The agent.
    #[param(format = Uuid)]
    agent_id: String,
}

/// The one text in the path.
#[derive(Debug)]
pub(super) struct PathText(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for PathText {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Ok(Path(text)) = Path::<String>::from_request_parts(parts, state).await else {
            let cause = "the path is not UTF-8 text: write it percent-encoded";
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "Invalid path", cause));
        };
        Ok(Self(text))
    }
}

/// The query's parameters; of one that is written twice, the last. Others than those asked for are none of ours.
#[derive(Debug)]
pub(super) struct Parameters {
    pairs: Vec<(String, String)>,
    problems: Vec<ValidationProblem>,
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await else {
            let cause = "the query cannot be read: write it as name=value, percent-encoded";
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "Invalid query", cause));
        };
        Ok(Self { pairs, problems: Vec::new() })
    }
}

impl Parameters {
    /// The parameter's text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.pairs.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The parameter as `read` takes it; `expected` says what to write.
    pub(super) fn parsed<T: FromStr>(&mut self, name: &str, expected: &str) -> Option<T> {
        let text = self.text(name)?.to_owned();
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.problem(name, expected, &text);
        }
        parsed
    }

    /// A turn's number, or 0: no store counts further than 2,147,483,647.
    pub(super) fn turn_number(&mut self, name: &str) -> Option<u32> {
        let text = self.text(name)?.to_owned();
        let number = text.parse().ok().filter(|number| i32::try_from(*number).is_ok());
        if number.is_none() {
            self.problem(name, "write a turn's number", &text);
        }
        number
    }

    /// How many items a page has.
    pub(super) fn limit(&mut self, name: &str) -> Option<PageLimit> {
        let text = self.text(name)?.to_owned();
        let limit = text.parse().ok().and_then(|limit| PageLimit::new(limit).ok());
        if limit.is_none() {
            self.problem(name, &format!("write a number from 1 to {}", PageLimit::MAX.get()), &text);
        }
        limit
    }

    /// What a rule of ours says of a parameter.
    pub(super) fn problem(&mut self, name: &str, reason: &str, input: &str) {
        self.problems.push(ValidationProblem::query(name, reason, input));
    }

    /// Refuses the request where anything is wrong with it.
    pub(super) fn end(&mut self) -> Result<(), ApiError> {
        let problems = std::mem::take(&mut self.problems);
        if problems.is_empty() { Ok(()) } else { Err(ApiError::validation(problems)) }
    }
}
