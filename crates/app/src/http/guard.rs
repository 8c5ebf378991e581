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

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use tower_http::catch_panic::CatchPanicLayer;

use self::body_limit::BodyLimit;
use self::concurrency::Concurrency;
pub(super) use self::concurrency::{NotBegun, Place};
use self::time_limit::TimeLimit;
use super::console;
use crate::configuration::ServiceConfig;

/// The router with everything that stands before its endpoints. To be called last: what is added to the
/// router afterwards is not guarded.
pub fn guarded(router: Router, config: &ServiceConfig) -> Router {
    // The last layer is the first that a request meets: what comes of the others has an id, a line in the
    // log, and the headers.
    let router = router
        .fallback(unknown_route::not_found)
        .method_not_allowed_fallback(unknown_route::method_not_allowed)
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(BodyLimit { max_bytes: config.max_body_bytes }, body_limit::apply))
        .layer(from_fn_with_state(TimeLimit(config.request_timeout), time_limit::apply))
        .layer(from_fn_with_state(Concurrency::new(config.max_concurrent_requests), concurrency::apply))
        .layer(CatchPanicLayer::custom(panic::answer));
    // Where there is a console, a browser is told in a page whatever it is.
    let router = if config.operator.is_some() { router.layer(from_fn(console::in_a_page)) } else { router };
    router.layer(from_fn(security_header::apply)).layer(from_fn(request_line::apply))
}

#[cfg(test)]
mod tests;
