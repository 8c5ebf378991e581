//! Suites that cross crates, and what they share.

pub mod model_stub;
