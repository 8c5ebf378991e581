//! How long a request may take until its answer begins. A stream that has begun is not cut off.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::StatusCode;
use tokio::time::timeout;

use crate::http::error::ApiError;

pub(super) struct TimeLimit(pub(super) Duration);

impl TimeLimit {
    /// Answers 503 when the time is over: the service was too slow, and the same request may be sent again with
    /// its `Idempotency-Key`. A body that does not come in time ends the same way.
    pub(super) fn within(&self, answer: impl Future<Output = Response>) -> impl Future<Output = Response> {
        let limit = self.0;
        timeout(limit, answer).map(move |answer| {
            answer.unwrap_or_else(|_| {
                let cause = format!("The request was not answered within {} seconds", limit.as_secs());
                ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "Request timed out", cause).into_response()
            })
        })
    }
}
