//! Placeholder.
pub mod configuration;
