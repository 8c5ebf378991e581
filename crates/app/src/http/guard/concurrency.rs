//! How many requests are answered at the same time. More are refused at once: a queue would only make
//! everybody slow, and a client that tries again is told when.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use tokio::sync::Semaphore;
use tracing::Span;

use super::held_body::HeldBody;
use crate::http::error::ApiError;

/// What is answered always: who looks after the service has to see it most when it is busy.
const ALWAYS: [&str; 3] = ["/liveness", "/readiness", "/metrics"];

#[derive(Clone)]
pub(super) struct Concurrency {
    max: usize,
    free: Arc<Semaphore>,
}

impl Concurrency {
    pub(super) fn new(max: usize) -> Self {
        Self { max, free: Arc::new(Semaphore::new(max)) }
    }
}

/// A place is held until the answer's body is sent: a stream counts as long as it runs.
pub(super) async fn apply(State(limit): State<Concurrency>, request: Request, next: Next) -> Response {
    if ALWAYS.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let Ok(place) = Arc::clone(&limit.free).try_acquire_owned() else {
        let cause =
            format!("The service is answering {} requests, as many as it may: try again later", limit.max);
        return ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "Too busy", cause).into_response();
    };
    next.run(request).await.map(|body| HeldBody::wrap(body, Span::none(), place))
}
