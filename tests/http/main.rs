//! The HTTP API, held against LCS's contract and against its own OpenAPI document.
#![cfg(test)]

mod adoption;
mod api;
mod console;
mod conversation;
mod document;
mod host;
mod hostile_body;
mod hostile_json;
mod id;
mod idempotency;
mod isolation;
mod model;
mod operator;
mod query;
mod refusal;
mod service;
mod streaming;
