//! The refusals that endpoints document: which bodies come with which status.

#![expect(dead_code, reason = "they only describe answers: nothing makes them")]

use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use super::error::{ErrorAnswer, TextErrorAnswer, ValidationErrorAnswer};

/// What any endpoint may answer instead.
#[derive(IntoResponses)]
pub(super) enum Refusal {
    /// The request is not formed as it should be, or the id has no format of ours.
    #[response(status = 400)]
    BadRequest(BadRequest),
    /// It is not shown who asks.
    #[response(status = 401)]
    Unauthorized(ErrorAnswer),
    /// The body, or a value in it, is larger than the limit; or the prompt than the model's context.
    #[response(status = 413)]
    TooLarge(ErrorAnswer),
    /// The request's values are not what they should be: each problem, or the one that the store found.
    #[response(status = 422)]
    Invalid(Invalid),
    /// The model's provider allows no more for now.
    #[response(status = 429)]
    TooMany(ErrorAnswer),
    /// Something went wrong here. What it was is in the log.
    #[response(status = 500)]
    Internal(ErrorAnswer),
    /// The database or the model cannot be reached, or there is too much to do. `Retry-After` says when to try again.
    #[response(status = 503)]
    Unavailable(ErrorAnswer),
}

/// The database role that the service has may not do it.
#[derive(IntoResponses)]
#[response(status = 403)]
pub(super) struct Forbidden(ErrorAnswer);

/// No operator is configured: there is no such route.
#[derive(IntoResponses)]
#[response(status = 404)]
pub(super) struct NoOperator(TextErrorAnswer);

/// There is no such thing, or it is another user's.
#[derive(IntoResponses)]
#[response(status = 404)]
pub(super) struct NotFound(ErrorAnswer);

/// It has changed meanwhile, is archived, is there already, or is being answered already.
#[derive(IntoResponses)]
#[response(status = 409)]
pub(super) struct Conflict(ErrorAnswer);

/// The state has changed since the caller read it: read it again, then decide.
#[derive(IntoResponses)]
#[response(status = 412)]
pub(super) struct PreconditionFailed(ErrorAnswer);

/// It is not said which revision the state was made from.
#[derive(IntoResponses)]
#[response(status = 428)]
pub(super) struct PreconditionRequired(ErrorAnswer);

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum BadRequest {
    Detail(ErrorAnswer),
    Text(TextErrorAnswer),
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Invalid {
    Problems(ValidationErrorAnswer),
    Detail(ErrorAnswer),
}
