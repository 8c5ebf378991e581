//! The HTTP API: LCS's conversations, queries and their streams, and what hosts with models of their own need.
//!
//! [`router`] gives its endpoints over a [`Service`]; the OpenAPI document is made of the same code.

mod agent_state;
mod analytics;
mod answer;
mod answering;
pub mod authentication;
mod console;
mod conversation;
pub(crate) mod conversation_id;
mod conversation_list;
mod denial;
mod document;
mod error;
mod event;
mod event_queue;
mod expiry;
mod guard;
mod health;
mod history;
mod idempotency;
mod in_flight;
mod info;
mod json_object;
mod json_stream;
mod llama_stack;
mod metrics;
mod new_conversation;
mod openapi;
mod operator;
mod parameter;
mod problem;
mod query;
mod query_request;
mod refusal;
mod server;
mod service;
mod streaming_query;
mod turn;
mod validation;

use axum::Router;

pub use self::console::console_paths;
pub use self::error::ApiError;
pub use self::guard::guarded;
pub use self::openapi::openapi;
pub use self::server::serve;
pub use self::service::Service;

/// The endpoints, without what is put around them: limits, request ids, security headers.
pub fn router(service: Service) -> Router {
    let document = openapi::openapi();
    let mut router: Router<Service> = openapi::documented().into();
    if service.operator_keys().is_some() {
        router = router.merge(openapi::of_operator()).merge(console::pages(&service));
    }
    router.merge(openapi::pages(&document)).with_state(service)
}
