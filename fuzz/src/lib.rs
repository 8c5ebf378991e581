//! What must hold of any bytes at all: one module for each target, each with a `check` that panics where
//! something does not hold.
//!
//! `scripts/fuzz` looks for bytes of which it does not; `tests/fuzz` holds every seed, and every input that
//! was ever found, against it in the ordinary test run.

#[cfg(feature = "service")]
pub mod configuration;
pub mod content;
pub mod cursor;
#[cfg(feature = "service")]
pub mod http;
pub mod id;
#[cfg(feature = "service")]
pub mod journal;
pub mod payload;
