//! The stores behind the ports of [`lcs_domain`]: PostgreSQL, SQLite and memory.
//!
//! Each adapter mirrors the domain file for file: `conversation.rs`, `turn.rs`, `agent_state.rs`,
//! `request.rs`, `retention.rs`, `erasure.rs`, `audit.rs`, `transfer.rs`, `diagnostic.rs`. They share what must not differ: rows and their conversion
//! (`row`), what a pool tells (`pool`), what a journal keeps (`journal`), what an audit log is told (`audit`, `erasure`), the sealed form of payloads (`sealed`), lists that are handed on row by row (`stream`), and the suite that each of them passes
//! (`conformance`, behind the feature of that name). What is different stays different: two plain
//! adapters read better than one that is generic over both databases.

mod audit;
#[cfg(feature = "conformance")]
pub mod conformance;
mod erasure;
pub mod journal;
pub mod memory;
pub mod migration;
mod pool;
pub mod postgres;
mod row;
mod sealed;
pub mod source;
pub mod sqlite;
mod stream;
#[cfg(feature = "testing")]
pub mod testing;
mod tombstone;
