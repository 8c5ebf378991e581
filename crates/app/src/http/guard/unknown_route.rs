//! What is not there, as `FastAPI` says it.

use http::StatusCode;

use crate::http::error::ApiError;

pub(super) async fn not_found() -> ApiError {
    ApiError::text(StatusCode::NOT_FOUND, "Not Found")
}

pub(super) async fn method_not_allowed() -> ApiError {
    ApiError::text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}
