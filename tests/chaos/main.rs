//! The fault campaign's own proof: its checker tells histories apart, and finds the bugs that are put before it.
//!
//! The campaign itself is the program `chaos`: `scripts/chaos`.

#![cfg(test)]

mod bug;
mod checker;
mod run;
