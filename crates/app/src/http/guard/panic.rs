//! A panic in an endpoint: that request fails, and nothing of why is answered.

use std::panic::AssertUnwindSafe;

use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use crate::http::error::ApiError;

/// What it says is not logged here: it may quote a request. The process's panic hook has said where it was.
pub(super) fn caught(answer: impl Future<Output = Response>) -> impl Future<Output = Response> {
    AssertUnwindSafe(answer).catch_unwind().map(|answer| {
        answer.unwrap_or_else(|_panic| {
            tracing::error!("an endpoint panicked: its request is answered with 500");
            ApiError::internal().into_response()
        })
    })
}
