//! Requests, counted under our names and under LCS's.

use std::time::Duration;

use http::{Method, StatusCode};
use metrics::{counter, histogram};

/// What is counted for a client that went away before it was answered.
const GIVEN_UP: u16 = 499;

/// Counts a request that is over. `path` is its route, not what was asked for.
pub(crate) fn count(method: &Method, path: &str, status: Option<StatusCode>, took: Duration) {
    let method = known(method);
    let path = path.to_owned();
    let status = status.map_or(GIVEN_UP, |status| status.as_u16()).to_string();
    counter!("lcs_http_requests_total", "method" => method, "path" => path.clone(), "status" => status.clone())
        .increment(1);
    counter!("ls_rest_api_calls_total", "path" => path.clone(), "status_code" => status).increment(1);
    histogram!("lcs_http_request_duration_seconds", "path" => path.clone()).record(took);
    histogram!("ls_response_duration_seconds", "path" => path).record(took);
}

/// Anybody can make up a method: those that nobody knows are one.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        _ => "other",
    }
}
