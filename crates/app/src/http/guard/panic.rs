//! A panic in an endpoint: that request fails, and nothing of why is answered.

use std::any::Any;

use axum::response::{IntoResponse, Response};

use crate::http::error::ApiError;

/// What it says is not logged here: it may quote a request. The process's panic hook has said where it was.
pub(super) fn answer(_panic: Box<dyn Any + Send>) -> Response {
    tracing::error!("an endpoint panicked: its request is answered with 500");
    ApiError::internal().into_response()
}
