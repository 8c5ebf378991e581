//! The operator's console: pages for a browser, without a script and without anything from elsewhere
//! (docs/adr/0037-console.md).
//!
//! | module | what it holds |
//! | --- | --- |
//! | `gate`, `visitor` | who is let in to a page |
//! | `layout`, `failure` | what all pages have, and pages of what went wrong |
//! | `figures`, `search`, `conversation`, `message` | what is shown |
//! | `action`, `confirmation` | what is done, and asked before |
//! | `form_token`, `same_origin` | that it is this console that asks for it |
//! | `reading` | who has read what |

mod action;
mod confirmation;
mod conversation;
mod facts;
mod failure;
mod figures;
mod form_token;
mod gate;
mod layout;
mod message;
mod reading;
mod same_origin;
mod search;
mod trail;
mod visitor;

use axum::Router;
use axum::extract::Request;
use axum::middleware::from_fn_with_state;
use axum::response::{Redirect, Response};
use axum::routing::{MethodRouter, get};
use http::{Method, StatusCode};

use self::failure::Failure;
pub(super) use self::gate::Looks;
pub(super) use self::reading::Readings;
use self::visitor::Visitor;
use super::service::Service;

/// Where the console begins.
const BEGINNING: &str = "/admin";

/// Every page, and what makes it. The router is built from this list, and has a gate before all of it.
fn routes() -> [(&'static str, MethodRouter<Service>); 9] {
    [
        ("/admin", get(figures::figures)),
        ("/admin/", get(async || Redirect::permanent(BEGINNING))),
        ("/admin/conversations", get(search::search)),
        ("/admin/conversations/{id}", get(conversation::conversation)),
        ("/admin/conversations/{id}/turns/{number}", get(conversation::raw_turn)),
        ("/admin/conversations/{id}/agent-state", get(conversation::raw_agent_state)),
        ("/admin/conversations/{id}/stored", get(conversation::raw_conversation)),
        ("/admin/conversations/{id}/{action}", get(confirmation::ask).post(action::act)),
        ("/admin/{*other}", get(nothing)),
    ]
}

/// The paths of the console's pages, as its router has them.
pub fn console_paths() -> impl Iterator<Item = &'static str> {
    routes().into_iter().map(|(path, _)| path)
}

/// What an operator's browser opens.
pub(super) fn pages(service: &Service) -> Router<Service> {
    let router = routes().into_iter().fold(Router::new(), |router, (path, page)| {
        router.route(path, page.fallback(async || StatusCode::METHOD_NOT_ALLOWED))
    });
    router.layer(from_fn_with_state(service.clone(), gate::pass))
}

/// The method that a page of the console is asked for with, where there is one and this asks for one.
pub(super) fn page_asked_for(has_console: bool, request: &Request) -> Option<Method> {
    let path = request.uri().path();
    let is_here = path.strip_prefix(BEGINNING).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    (has_console && is_here).then(|| request.method().clone())
}

/// Makes a page of what went wrong before a page could be made, or while it was.
pub(super) fn in_a_page(response: Response, method: &Method) -> Response {
    failure::as_page(response, method, None)
}

async fn nothing(visitor: Visitor) -> Failure {
    Failure::no_page(visitor)
}
