//! The operator's console: pages for a browser, without a script and without anything from elsewhere
//! (docs/adr/0037-console.md).
//!
//! | module | what it holds |
//! | --- | --- |
//! | `visitor` | who looks at a page |
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
mod layout;
mod message;
mod reading;
mod same_origin;
mod search;
mod trail;
mod visitor;

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;

use self::failure::Failure;
pub(super) use self::reading::Readings;
use self::visitor::Visitor;
use super::service::Service;

/// What an operator's browser opens.
pub(super) fn pages() -> Router<Service> {
    Router::new()
        .route("/admin", get(figures::figures))
        .route("/admin/", get(async || Redirect::permanent("/admin")))
        .route("/admin/conversations", get(search::search))
        .route("/admin/conversations/{id}", get(conversation::conversation))
        .route("/admin/conversations/{id}/turns/{number}", get(conversation::raw_turn))
        .route("/admin/conversations/{id}/agent-state", get(conversation::raw_agent_state))
        .route("/admin/conversations/{id}/{action}", get(confirmation::ask).post(action::act))
        .route("/admin/{*other}", get(nothing))
}

async fn nothing(visitor: Visitor) -> Failure {
    Failure::no_page(visitor)
}
