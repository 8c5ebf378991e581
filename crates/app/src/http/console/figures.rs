//! The first page: how much is stored, how it grows, and how the database is doing.

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_SECURITY_POLICY;

use super::super::error::ApiError;
use super::super::service::Service;
use super::failure::Failure;
use super::visitor::{Asked, Visitor};
use crate::report;

pub(super) async fn figures(
    visitor: Visitor,
    State(service): State<Service>,
    Asked(parameters): Asked,
) -> Result<Response, Failure> {
    let failed = |error: ApiError| Failure::of(Some(visitor.clone()), error);
    let report = service.report(parameters).await.map_err(failed)?;
    let policy = format!("{}; frame-ancestors 'none'", report::content_security_policy());
    let policy = HeaderValue::try_from(policy).map_err(|_| failed(ApiError::internal()))?;
    Ok(([(CONTENT_SECURITY_POLICY, policy)], Html(report::page(&report, true))).into_response())
}
