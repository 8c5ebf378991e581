//! What stands before every endpoint: limits, a request id, security headers, and an answer in the contract's
//! shape whatever happens.

mod body_limit;
mod concurrency;
mod held_body;
mod panic;
mod request_line;
mod security_header;
mod time_limit;
mod unknown_route;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use tracing::Instrument as _;

use self::body_limit::BodyLimit;
use self::concurrency::Concurrency;
pub(super) use self::concurrency::{NotBegun, Place};
use self::request_line::RequestLine;
use self::time_limit::TimeLimit;
use super::console;
use crate::configuration::ServiceConfig;

/// The router with everything that stands before its endpoints. To be called last: what is added to the
/// router afterwards is not guarded.
pub fn guarded(router: Router, config: &ServiceConfig) -> Router {
    let guard = Guard {
        body_limit: BodyLimit { max_bytes: config.max_body_bytes },
        time_limit: TimeLimit(config.request_timeout),
        concurrency: Concurrency::new(config.max_concurrent_requests),
        has_console: config.operator.is_some(),
    };
    router
        .fallback(unknown_route::not_found)
        .method_not_allowed_fallback(unknown_route::method_not_allowed)
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(Arc::new(guard), stand_before))
}

/// What the guards know.
struct Guard {
    body_limit: BodyLimit,
    time_limit: TimeLimit,
    concurrency: Concurrency,
    has_console: bool,
}

/// All guards in one layer: each layer of a router copies all that are behind it, for each request. And a
/// guard takes no future of another one where it can do its part before it and behind it: an async function that is given
/// a future keeps it twice.
///
/// What comes of the inner ones has an id, a line in the log, and the headers.
async fn stand_before(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let line = RequestLine::begin(&mut request);
    let span = line.span().clone();
    let response = guard.shown(request, next).instrument(span).await;
    line.answer(response)
}

impl Guard {
    /// An answer for whoever looks, whatever happens.
    async fn shown(&self, request: Request, next: Next) -> Response {
        let page = console::page_asked_for(self.has_console, &request);
        let response = panic::caught(self.limited(request, next)).await;
        let response = match page {
            Some(method) => console::in_a_page(response, &method),
            None => response,
        };
        security_header::set(response)
    }

    /// An answer within the limits.
    async fn limited(&self, mut request: Request, next: Next) -> Response {
        let place = match self.concurrency.enter(&mut request) {
            Ok(place) => place,
            Err(busy) => return busy,
        };
        let response = match self.body_limit.admit(request) {
            Ok((request, body)) => {
                let response = self.time_limit.within(next.run(request)).await;
                self.body_limit.answer(&body, response)
            }
            Err(too_large) => too_large,
        };
        place.keep(response)
    }
}

#[cfg(test)]
mod tests;
