//! `serve` as those meet it who run it: real processes on real stores, that are told to stop, killed, cut off
//! from their database, and stood beside each other.
//!
//! Every question here holds [`process::CANARY`], and so do the answers: no process may log it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::panic, reason = "a test that cannot go on fails")]
#![expect(clippy::indexing_slicing, reason = "a test that looks for what is not there fails")]
#![expect(clippy::print_stderr, reason = "a test that fails says what it was about")]

mod audit;
mod backlog;
mod client;
mod console;
mod erase;
mod journal;
mod kill;
mod outage;
mod process;
mod replica;
mod restart;
mod retry;
mod secret;
mod security;
mod start;
mod stop;
