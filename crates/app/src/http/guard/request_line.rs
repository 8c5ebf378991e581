//! The id of a request, in its answer and in all that is logged of it, and its one line in the log.

use axum::extract::{MatchedPath, Request};
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use lcs_domain::RequestId;
use tokio::time::Instant;
use tracing::{Span, error_span, info};

use super::held_body::HeldBody;
use crate::telemetry;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How long a caller's id may be, in bytes.
const MAX_BYTES: usize = 128;

/// The one id that the caller gives, if it can stand in a log line as it is.
fn callers_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(REQUEST_ID).iter();
    let (Some(id), None) = (values.next(), values.next()) else { return None };
    let fits = (1..=MAX_BYTES).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
    fits.then(|| id.clone())
}

fn new_id() -> HeaderValue {
    // A UUID is always a header's value.
    HeaderValue::try_from(RequestId::generate().to_string()).unwrap_or(HeaderValue::from_static("-"))
}

/// What is logged of a request when it is over: when its answer is sent, or its client is gone.
pub(super) struct RequestLine {
    id: HeaderValue,
    method: Method,
    /// The route, not what was asked for: that would be another text each time, with ids in it.
    route: Option<MatchedPath>,
    status: Option<StatusCode>,
    begun: Instant,
    span: Span,
}

impl RequestLine {
    /// Gives the request its id: the caller's, so that it can be followed through several services, or a new one.
    /// The endpoints find it in the header.
    pub(super) fn begin(request: &mut Request) -> Self {
        let id = callers_id(request.headers()).unwrap_or_else(new_id);
        // A span that no filter leaves out: an error's line has the id too.
        let span = error_span!("http.request", request_id = id.to_str().unwrap_or_default());
        #[cfg(feature = "opentelemetry")]
        telemetry::trace::go_on(&span, request.headers());
        request.headers_mut().insert(REQUEST_ID, id.clone());
        let route = request.extensions().get::<MatchedPath>().cloned();
        Self { id, method: request.method().clone(), route, status: None, begun: Instant::now(), span }
    }

    /// What all that is done for the request belongs to.
    pub(super) const fn span(&self) -> &Span {
        &self.span
    }

    /// Puts the id into the answer, and is written when that is sent.
    pub(super) fn answer(mut self, mut response: Response) -> Response {
        self.status = Some(response.status());
        response.headers_mut().insert(REQUEST_ID, self.id.clone());
        let span = self.span.clone();
        response.map(|body| HeldBody::wrap(body, span, self))
    }
}

impl Drop for RequestLine {
    fn drop(&mut self) {
        let _entered = self.span.enter();
        let method = self.method.as_str();
        let path = self.route.as_ref().map_or("unmatched", MatchedPath::as_str);
        let took = self.begun.elapsed();
        telemetry::request::count(&self.method, path, self.status, took);
        // Microseconds are as fine as anybody looks.
        let duration_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
        if let Some(status) = self.status {
            info!(method, path, status = status.as_u16(), duration_ms, "answered");
        } else {
            info!(method, path, duration_ms, "given up by its client");
        }
    }
}
