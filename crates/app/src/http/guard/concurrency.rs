//! How many requests are answered at the same time. More are refused at once: a queue would only make
//! everybody slow, and a client that tries again is told when.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{FromRequestParts, Request};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Span;

use super::held_body::HeldBody;
use crate::http::error::ApiError;

/// What is answered always: who looks after the service has to see it most when it is busy.
const ALWAYS: [&str; 3] = ["/liveness", "/readiness", "/metrics"];

pub(super) struct Concurrency {
    max: usize,
    free: Arc<Semaphore>,
}

impl Concurrency {
    pub(super) fn new(max: usize) -> Self {
        Self { max, free: Arc::new(Semaphore::new(max)) }
    }

    /// A place for this request, which its work finds in it; or the refusal.
    #[expect(clippy::result_large_err, reason = "the refusal is the answer")]
    pub(super) fn enter(&self, request: &mut Request) -> Result<Place, Response> {
        if ALWAYS.contains(&request.uri().path()) {
            return Ok(Place { held: None });
        }
        let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() else {
            let cause =
                format!("The service is answering {} requests, as many as it may: try again later", self.max);
            let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "Too busy", cause);
            return Err((Extension(NotBegun), error).into_response());
        };
        let place = Place { held: Some(Arc::new(permit)) };
        request.extensions_mut().insert(place.clone());
        Ok(place)
    }
}

/// The place of a request among those that are answered. Work that goes on without its caller keeps it: what
/// callers leave behind counts as well.
#[derive(Clone)]
pub(in crate::http) struct Place {
    held: Option<Arc<OwnedSemaphorePermit>>,
}

impl Place {
    /// Holds it until the answer's body is sent: a stream counts as long as it runs.
    pub(super) fn keep(self, response: Response) -> Response {
        match self.held {
            Some(held) => response.map(|body| HeldBody::wrap(body, Span::none(), held)),
            None => response,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Place {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or(Self { held: None }))
    }
}

/// Beside a refusal: nothing of the request was begun.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct NotBegun;
