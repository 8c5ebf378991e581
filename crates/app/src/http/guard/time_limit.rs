//! How long a request may take until its answer begins. A stream that has begun is not cut off.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tokio::time::timeout;

use crate::http::error::ApiError;

pub(super) struct TimeLimit(pub(super) Duration);

impl TimeLimit {
    /// Answers 503 when the time is over: the service was too slow, and the same request may be sent again with
    /// its `Idempotency-Key`. A body that does not come in time ends the same way.
    pub(super) async fn apply(&self, answer: impl Future<Output = Response>) -> Response {
        timeout(self.0, answer).await.unwrap_or_else(|_| {
            let cause = format!("The request was not answered within {} seconds", self.0.as_secs());
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "Request timed out", cause).into_response()
        })
    }
}
