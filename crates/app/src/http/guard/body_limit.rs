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

/// A body that is being read: whether it has turned out to be too large, where it does not say its length.
pub(super) struct Watched(Option<Arc<AtomicBool>>);

impl BodyLimit {
    /// Refuses a body that says that it is too large before any of it is read. One that turns out to be is cut
    /// off.
    #[expect(clippy::result_large_err, reason = "the refusal is the answer")]
    pub(super) fn admit(&self, request: Request) -> Result<(Request, Watched), Response> {
        let size = request.body().size_hint();
        if usize::try_from(size.lower()).map_or(true, |bytes| bytes > self.max_bytes) {
            return Err(self.too_large());
        }
        if size.exact().is_some() {
            // It is what it says: hyper reads no more than that.
            return Ok((request, Watched(None)));
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
        Ok((request, Watched(Some(exceeded))))
    }

    /// The endpoint's answer; or, where the request's body was cut off, the refusal, whatever the endpoint has made of it.
    pub(super) fn answer(&self, body: &Watched, response: Response) -> Response {
        let exceeded = body.0.as_ref().is_some_and(|exceeded| exceeded.load(Ordering::Relaxed));
        if exceeded { self.too_large() } else { response }
    }

    fn too_large(&self) -> Response {
        let cause = format!("The request body is larger than {} bytes: send less at once", self.max_bytes);
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "Request body too large", cause).into_response()
    }
}
