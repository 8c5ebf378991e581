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

use self::body_limit::BodyLimit;
use self::concurrency::Concurrency;
pub(super) use self::concurrency::{NotBegun, Place};
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

/// All guards in one layer: each layer of a router copies all that are behind it, for each request.
///
/// The first is the first that a request meets: what comes of the others has an id, a line in the log, and the headers.
async fn stand_before(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let Guard { body_limit, time_limit, concurrency, has_console } = &*guard;
    let limited = |request| body_limit.apply(request, |request| next.run(request));
    let timed = |request| time_limit.apply(limited(request));
    let counted = |request| concurrency.apply(request, timed);
    let caught = |request| panic::caught(counted(request));
    let shown = |request| console::in_a_page(*has_console, request, caught);
    request_line::apply(request, |request| security_header::apply(shown(request))).await
}

#[cfg(test)]
mod tests;
