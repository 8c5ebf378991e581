//! How large a request's body may be, whether it says its length or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use http::StatusCode;

use crate::http::error::ApiError;

pub(super) struct BodyLimit {
    pub(super) max_bytes: usize,
}

impl BodyLimit {
    /// Refuses a body that says that it is too large before any of it is read. One that turns out to be is cut
    /// off, and whatever the endpoint makes of that, it is answered the same.
    pub(super) async fn apply<F>(&self, request: Request, next: impl FnOnce(Request) -> F) -> Response
    where
        F: Future<Output = Response>,
    {
        let size = request.body().size_hint();
        if usize::try_from(size.lower()).map_or(true, |bytes| bytes > self.max_bytes) {
            return self.too_large();
        }
        if size.exact().is_some() {
            // It is what it says: hyper reads no more than that.
            return next(request).await;
        }
        let exceeded = Arc::new(AtomicBool::new(false));
        let exceeds = Arc::clone(&exceeded);
        let mut left = self.max_bytes;
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
        let response = next(request).await;
        if exceeded.load(Ordering::Relaxed) { self.too_large() } else { response }
    }

    fn too_large(&self) -> Response {
        let cause = format!("The request body is larger than {} bytes: send less at once", self.max_bytes);
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "Request body too large", cause).into_response()
    }
}
