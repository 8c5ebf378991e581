//! The metrics, as Prometheus reads them.

use axum::extract::State;
use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;

use super::service::Service;
use crate::telemetry;

/// The metrics of now, in Prometheus' text format.
#[utoipa::path(
    get, path = "/metrics", tag = "service",
    responses((status = 200, description = "the metrics", body = String, content_type = "text/plain")),
)]
pub(super) async fn metrics(State(service): State<Service>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], telemetry::render(service.manager()))
}
