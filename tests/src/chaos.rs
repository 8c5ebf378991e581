//! The fault campaign: clients that note what they saw, and a checker that judges it.
//!
//! [`client`] has clients append to conversations, read them, save agent states, list and delete, through
//! [`replica::Replica`]s: processes behind HTTP, or a store in this process. What each operation saw becomes
//! a [`history::Record`]; [`checker::check`] finds the anomalies in them, and knows nothing of how they came about.

pub mod checker;
pub mod client;
pub mod dice;
pub mod history;
pub mod http;
pub mod replica;
pub mod stored;
pub mod workload;
