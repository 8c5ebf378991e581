//! How long a request may take until its answer begins. A stream that has begun is not cut off.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tokio::time::timeout;

use crate::http::error::ApiError;

#[derive(Clone, Copy)]
pub(super) struct TimeLimit(pub(super) Duration);

/// Answers 503 when the time is over: the service was too slow, and the same request may be sent again with
/// its `Idempotency-Key`. A body that does not come in time ends the same way.
pub(super) async fn apply(
    State(TimeLimit(limit)): State<TimeLimit>,
    request: Request,
    next: Next,
) -> Response {
    timeout(limit, next.run(request)).await.unwrap_or_else(|_| {
        let cause = format!("The request was not answered within {} seconds", limit.as_secs());
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "Request timed out", cause).into_response()
    })
}
