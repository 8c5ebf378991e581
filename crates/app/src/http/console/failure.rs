//! What went wrong, as a page: one sentence on what it is, and one on what to do.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{Method, StatusCode};
use lcs_domain::{ConversationId, RepositoryError};
use maud::html;

use super::super::error::ApiError;
use super::super::guard::NotBegun;
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
                    "{}. What it may not do, lcs-persistence does on the command line, as the operator's role.",
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

/// `text` as the end of one.
fn ended(text: &str) -> String {
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
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

/// What went wrong before a page could be made, as one: where it is none yet. `method`: how it was asked for.
pub(super) fn as_page(response: Response, method: &Method, visitor: Option<&Visitor>) -> Response {
    let status = response.status();
    let content_type = response.headers().get(CONTENT_TYPE);
    let is_page = content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    if is_page || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let is_begun = response.extensions().get::<NotBegun>().is_none();
    let (title, sentence) = told(status, !method.is_safe(), is_begun);
    with_page(response, page(visitor, title, sentence))
}

/// To reload the page would be to send it again.
const MAYBE_DONE: &str = "It may have been done all the same. Do not reload this page, which sends it again: open the conversation, \
    whose id stands in the address, and look.";

/// What is said where only the status is known, and whether something was to be done, and may have been.
fn told(status: StatusCode, is_action: bool, is_begun: bool) -> (&'static str, &'static str) {
    match status {
        StatusCode::BAD_REQUEST => (
            "This address cannot be read",
            "Something in it is no text. Go back, and open the page with its link.",
        ),
        StatusCode::METHOD_NOT_ALLOWED => (
            "This page is not asked for in this way",
            "Open it with its link. What changes something has a page of its own that asks first.",
        ),
        StatusCode::PAYLOAD_TOO_LARGE => ("Too much was written", "Go back, and write less."),
        StatusCode::SERVICE_UNAVAILABLE if !is_begun && is_action => (
            "The service is busy",
            "Nothing was done: it is answering as many requests as it may. Wait a moment, go back, and send it again.",
        ),
        StatusCode::SERVICE_UNAVAILABLE if !is_begun => (
            "The service is busy",
            "It is answering as many requests as it may. Wait a moment, and reload the page.",
        ),
        StatusCode::SERVICE_UNAVAILABLE if is_action => ("The service did not answer in time", MAYBE_DONE),
        StatusCode::SERVICE_UNAVAILABLE => (
            "The service did not answer in time",
            "Wait a moment, and reload the page. A search for an id or a user takes less time than one for a topic.",
        ),
        status if status.is_server_error() && is_action => ("Something went wrong", MAYBE_DONE),
        status if status.is_server_error() => (
            "Something went wrong",
            "The service's log says what, by the id of the request. Reload the page, or go back.",
        ),
        _ => ("This cannot be done", "Go back, and open the page with its link."),
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let detail = self.error.detail();
        let page = page(self.visitor.as_ref(), &detail.response, &ended(&upper(&detail.cause)));
        with_page(self.error.into_response(), page)
    }
}
