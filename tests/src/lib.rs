//! Suites that cross crates, and what they share.

pub mod chaos;
pub mod connection;
pub mod model_stub;
