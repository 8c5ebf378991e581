//! What is answered instead: one shape for each kind of refusal, the contract's, and never a secret.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use lcs_domain::RepositoryError;
use lcs_domain::agent::{AgentError, AgentFailure};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::ValidationProblem;
use crate::agent_manager::AgentManagerError;

/// How long a client is asked to wait before it tries again, in seconds.
const RETRY_AFTER_SECONDS: u32 = 1;

/// A refusal or failure, as it is answered.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    status: StatusCode,
    body: Body,
    retry_after_seconds: Option<u32>,
}

#[derive(Debug, Clone, PartialEq)]
enum Body {
    Detail(Detail),
    Text(String),
    Validation(Vec<ValidationProblem>),
}

/// What went wrong, for people: what it means, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Detail {
    /// What it means.
    #[schema(examples("Conversation not found"))]
    pub(super) response: String,
    /// Why.
    #[schema(examples("Conversation with ID 018f3a5c-7d1e-7b3a-9c55-0242ac120002 does not exist"))]
    pub(super) cause: String,
}

/// The body of a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct ErrorAnswer {
    /// What went wrong.
    pub(super) detail: Detail,
}

/// The body of a refusal that says only one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct TextErrorAnswer {
    /// What went wrong.
    pub(super) detail: String,
}

/// The body of a refusal of a request that is not formed as it should be: its problems at once.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct ValidationErrorAnswer {
    /// What is wrong, and where.
    pub(super) detail: Vec<ValidationProblem>,
}

impl ApiError {
    /// A refusal with this status, what it means, and why.
    pub fn new(status: StatusCode, response: impl Into<String>, cause: impl Into<String>) -> Self {
        let detail = Detail { response: response.into(), cause: cause.into() };
        let retry_after_seconds =
            matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
                .then_some(RETRY_AFTER_SECONDS);
        Self { status, body: Body::Detail(detail), retry_after_seconds }
    }

    /// A refusal that says only one thing, as `{"detail": "..."}`.
    pub fn text(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, body: Body::Text(detail.into()), retry_after_seconds: None }
    }

    /// A request that is not formed as it should be.
    #[must_use]
    pub(super) fn validation(problems: Vec<ValidationProblem>) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            body: Body::Validation(problems),
            retry_after_seconds: None,
        }
    }

    /// 401, for `cause`.
    pub fn unauthorized(cause: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Missing or invalid credentials provided by client", cause)
    }

    /// 404: the conversation, as the caller names it, is absent or another user's (P9).
    #[must_use]
    pub(super) fn conversation_not_found(id: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "Conversation not found",
            format!("Conversation with ID {id} does not exist"),
        )
    }

    /// 500, saying nothing of what happened: that is in the log.
    #[must_use]
    pub(super) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Internal server error",
            "An unexpected error occurred while processing the request.",
        )
    }

    /// The same with a time to wait before another try.
    #[must_use]
    pub(super) const fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// Its status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// What an event in a stream says of it.
    #[must_use]
    pub(super) fn detail(&self) -> Detail {
        match &self.body {
            Body::Detail(detail) => detail.clone(),
            Body::Text(text) => Detail { response: text.clone(), cause: text.clone() },
            Body::Validation(problems) => {
                let cause = problems.first().map(|problem| problem.msg.clone()).unwrap_or_default();
                Detail { response: "Invalid request".into(), cause }
            }
        }
    }

    /// What a store's error is to the caller who named `conversation`.
    #[must_use]
    pub(super) fn of_repository(error: &RepositoryError, conversation: Option<&str>) -> Self {
        let cause = error.to_string();
        match error {
            RepositoryError::NotFound { .. } => match conversation {
                Some(id) => Self::conversation_not_found(id),
                None => Self::new(StatusCode::NOT_FOUND, "Not found", cause),
            },
            RepositoryError::AlreadyExists { .. } => Self::new(StatusCode::CONFLICT, "Already exists", cause),
            RepositoryError::Conflict { .. } => Self::new(StatusCode::CONFLICT, "Conflict", cause),
            RepositoryError::Closed { .. } => {
                Self::new(StatusCode::CONFLICT, "Conversation is archived", cause)
            }
            RepositoryError::Held { .. } => Self::new(StatusCode::CONFLICT, "Conversation is held", cause),
            RepositoryError::IdempotencyMismatch { .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Idempotency key reused", cause)
            }
            RepositoryError::Invalid { .. } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid value", cause)
            }
            RepositoryError::TooLarge { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "Too large", cause),
            RepositoryError::Overloaded { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "Too busy", cause)
            }
            RepositoryError::OutcomeUnknown { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "Outcome unknown", cause)
            }
            RepositoryError::Unavailable { .. }
            | RepositoryError::ReadOnly { .. }
            | RepositoryError::StorageFull { .. }
            | RepositoryError::SchemaSkew { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "Unable to reach the database", cause)
            }
            _ => {
                tracing::error!(error = %error, "the store failed");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "Database query failed",
                    "Failed to query the database",
                )
            }
        }
    }

    /// What the agent manager's error is to the caller who named `conversation`.
    #[must_use]
    pub(super) fn of_manager(error: &AgentManagerError, conversation: Option<&str>) -> Self {
        match error {
            AgentManagerError::NotStored { source, .. } => match Self::of_repository(source, conversation) {
                gone if gone.status == StatusCode::NOT_FOUND => gone,
                error => Self { body: error.body, ..error },
            },
            _ => match (error.repository_error(), error.agent_error()) {
                (Some(error), _) => Self::of_repository(error, conversation),
                (None, Some(error)) => Self::of_agent(error),
                (None, None) => {
                    tracing::error!(error = %error, "the agent could not be made");
                    Self::internal()
                }
            },
        }
    }

    /// What an agent's failure is to the caller.
    #[must_use]
    pub(super) fn of_agent(error: &AgentError) -> Self {
        let cause = error.reason.clone();
        match error.failure {
            AgentFailure::InvalidInput => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid value", cause),
            AgentFailure::UnknownState => Self::new(StatusCode::CONFLICT, "Agent state not readable", cause),
            AgentFailure::ModelNotFound => Self::new(StatusCode::NOT_FOUND, "Model not found", cause),
            AgentFailure::PromptTooLong => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "Prompt is too long", cause)
            }
            AgentFailure::QuotaExceeded => {
                Self::new(StatusCode::TOO_MANY_REQUESTS, "The quota has been exceeded", cause)
            }
            AgentFailure::Unavailable => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "Unable to connect to OGX", cause)
            }
            _ => {
                tracing::error!(error = %error, "the model failed");
                Self::internal()
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = match self.body {
            Body::Detail(detail) => Json(ErrorAnswer { detail }).into_response(),
            Body::Text(detail) => Json(TextErrorAnswer { detail }).into_response(),
            Body::Validation(detail) => Json(ValidationErrorAnswer { detail }).into_response(),
        };
        *response.status_mut() = self.status;
        if let Some(seconds) = self.retry_after_seconds {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
