//! The conformance suite on every store, and on every decorator over one.
//!
//! One file for each: a harness and a line that stamps the suite.
#![cfg(test)]
#![cfg(test)]

mod export_schema;
mod fallback;
mod hostile_json;
mod memory;
mod pooler;
mod postgres;
mod secured;
mod shared;
mod sqlite;
mod timed;
