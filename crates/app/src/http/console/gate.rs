//! Before every page: who asks is an operator, no more pages are made at once than have connections, and what comes of it
//! is a page whatever happens.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::super::service::Service;
use super::failure::{self, Failure};
use super::visitor::Visitor;

/// How many pages are made at once: each has one connection beside those of the service.
pub(super) const PAGES: usize = 4;
/// How long somebody waits for others' pages.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pages that may be made at once.
#[derive(Debug)]
pub(in crate::http) struct Looks(Semaphore);

impl Default for Looks {
    fn default() -> Self {
        Self(Semaphore::new(PAGES))
    }
}

/// Lets an operator through to his page.
pub(super) async fn pass(State(service): State<Service>, mut request: Request, next: Next) -> Response {
    let visitor = match Visitor::known(request.headers(), &service) {
        Ok(visitor) => visitor,
        Err(unknown) => return unknown.into_response(),
    };
    let Ok(Ok(_look)) = timeout(PATIENCE, service.looks().0.acquire()).await else {
        return busy(&visitor);
    };
    request.extensions_mut().insert(visitor.clone());
    failure::as_page(next.run(request).await, Some(&visitor))
}

fn busy(visitor: &Visitor) -> Response {
    let sentence = "As many pages as have connections to the database are being made: wait a moment, and reload this one.";
    let refused = Failure::refused(visitor, StatusCode::SERVICE_UNAVAILABLE, "The console is busy", sentence);
    let mut response = refused.into_response();
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
    response
}
