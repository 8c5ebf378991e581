//! How a store's connections are doing: numbers for metrics, counted since the store was opened.

use std::time::Duration;

use serde::Serialize;

/// The state of a pool of connections. Counters rise; the others are as of now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PoolStatus {
    /// How many connections are open or being opened.
    pub size: u32,
    /// How many of them nobody uses.
    pub idle: u32,
    /// How many there may be at most.
    pub max_size: u32,
    /// How many are in use or being opened: `size` without `idle`.
    pub in_use: u32,
    /// How many operations wait for one.
    pub waiting: u64,
    /// Operations that had to wait and were given one.
    pub get_waited: u64,
    /// Operations that waited in vain.
    pub get_timed_out: u64,
    /// How long operations have waited, all together.
    pub get_wait_time: Duration,
    /// Connections that were opened.
    pub connections_created: u64,
    /// Connections that could not be opened.
    pub connects_failed: u64,
    /// Connections that were closed because they were broken, or their answers were given up.
    pub closed_broken: u64,
    /// Connections that were closed because a check failed.
    pub closed_invalid: u64,
    /// Connections that were closed for their age.
    pub closed_max_lifetime: u64,
    /// Connections that were closed because they were not needed.
    pub closed_idle_timeout: u64,
}
