//! How large a request's body may be, whether it says its length or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use http::StatusCode;

use crate::http::error::ApiError;

#[derive(Clone, Copy)]
pub(super) struct BodyLimit {
    pub(super) max_bytes: usize,
}

/// Refuses a body that says that it is too large before any of it is read. One that turns out to be is cut
/// off, and whatever the endpoint makes of that, it is answered the same.
pub(super) async fn apply(State(limit): State<BodyLimit>, request: Request, next: Next) -> Response {
    let BodyLimit { max_bytes } = limit;
    let too_large = || {
        let cause = format!("The request body is larger than {max_bytes} bytes: send less at once");
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "Request body too large", cause).into_response()
    };
    if usize::try_from(request.body().size_hint().lower()).map_or(true, |bytes| bytes > max_bytes) {
        return too_large();
    }
    let exceeded = Arc::new(AtomicBool::new(false));
    let exceeds = Arc::clone(&exceeded);
    let mut left = max_bytes;
    let request = request.map(|body| {
        Body::from_stream(body.into_data_stream().map(move |chunk| {
            let chunk = chunk?;
            left = left.checked_sub(chunk.len()).ok_or_else(|| {
                exceeds.store(true, Ordering::Relaxed);
                axum::Error::new("the request body is too large")
            })?;
            Ok::<_, axum::Error>(chunk)
        }))
    });
    let response = next.run(request).await;
    if exceeded.load(Ordering::Relaxed) { too_large() } else { response }
}
