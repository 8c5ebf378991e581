//! How fast this is: the workloads of the benchmark, run through the services as a host would run them.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`payload`], [`choice`] | what is stored, and which conversation a client takes next: the same in every language |
//! | [`dataset`] | how many rows there are, their ids, and how they are loaded |
//! | [`workload`] | W1 to W7 over the services of [`lcs_app::PersistenceManager`] |
//! | [`cluster`] | a PostgreSQL to measure on |
//! | [`api`] | the service in a process of its own, for W1 and W3:newest over HTTP |
//! | [`load`], [`processor`] | closed loops of clients, and what was measured of them |
//! | [`protocol`] | what a harness asks of a worker, one line of JSON each |
//! | [`worker`] | the worker that answers |
//! | [`fixture`] | a small store with the same rows, for criterion |

pub mod api;
pub mod choice;
pub mod cluster;
pub mod dataset;
pub mod fixture;
pub mod load;
pub mod payload;
pub mod processor;
pub mod protocol;
pub mod worker;
pub mod workload;

/// Why a benchmark cannot go on, in one sentence.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
