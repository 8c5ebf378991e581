//! What went wrong, as a page: one sentence on what it is, and one on what to do.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use lcs_domain::{ConversationId, RepositoryError};
use maud::html;

use super::super::error::ApiError;
use super::layout::Page;
use super::visitor::Visitor;

/// A refusal or failure, as a page.
#[derive(Debug)]
pub(super) struct Failure {
    visitor: Option<Visitor>,
    error: ApiError,
}

impl Failure {
    pub(super) const fn of(visitor: Option<Visitor>, error: ApiError) -> Self {
        Self { visitor, error }
    }

    /// What a store's error is to an operator.
    pub(super) fn of_repository(visitor: &Visitor, error: &RepositoryError) -> Self {
        let error = match error {
            RepositoryError::Denied { reason } => {
                let cause = format!(
                    "{}. What it may not do, `lcs-persistence` does on the command line, as the operator's role.",
                    upper(reason)
                );
                ApiError::new(StatusCode::FORBIDDEN, "The service's database role may not", cause)
            }
            error => ApiError::of_repository(error, None),
        };
        Self::of(Some(visitor.clone()), error)
    }

    /// There is no such conversation, and was none.
    pub(super) fn no_conversation(visitor: &Visitor, id: ConversationId) -> Self {
        Self::of(Some(visitor.clone()), ApiError::conversation_not_found(&id.to_string()))
    }

    /// There is no such page.
    pub(super) fn no_page(visitor: Visitor) -> Self {
        let error =
            ApiError::new(StatusCode::NOT_FOUND, "There is no such page", "Go on from the links above.");
        Self::of(Some(visitor), error)
    }

    /// What was asked for cannot be done as it was asked.
    pub(super) fn refused(visitor: &Visitor, status: StatusCode, title: &str, sentence: &str) -> Self {
        Self::of(Some(visitor.clone()), ApiError::new(status, title, sentence))
    }
}

/// `text` as the beginning of a sentence.
fn upper(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// A page that says what went wrong.
pub(super) fn page(visitor: Option<&Visitor>, title: &str, sentence: &str) -> Page {
    let content = html! {
        h1 { (title) }
        div .card role="alert" { p { (sentence) } }
    };
    Page { status: StatusCode::OK, title: title.to_owned(), visitor: visitor.cloned(), here: None, content }
}

/// `response` with another body: its status and what else its headers say stay.
pub(super) fn with_page(response: Response, page: Page) -> Response {
    let (mut parts, _) = response.into_parts();
    let (shown, body) = page.into_response().into_parts();
    for name in [CONTENT_TYPE, CONTENT_LENGTH] {
        parts.headers.remove(name);
    }
    parts.headers.extend(shown.headers);
    Response::from_parts(parts, Body::new(body))
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let detail = self.error.detail();
        let page = page(self.visitor.as_ref(), &detail.response, &detail.cause);
        with_page(self.error.into_response(), page)
    }
}
