//! Suites that cross crates, and what they share.

#[expect(
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "what a browser does not do fails the test"
)]
pub mod browser;
pub mod chaos;
pub mod connection;
#[expect(clippy::panic, reason = "a table that is not written as it should be fails the test")]
pub mod hostile_json;
pub mod model_stub;
pub mod object_store_stub;
pub mod options;
pub mod proxy;
