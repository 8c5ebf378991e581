//! A PostgreSQL to measure on: as it is by default, in place of what the tests' clusters do without.

use lcs_storage::testing::PrivateCluster;

const SETTINGS: [&str; 8] = [
    "fsync = on",
    "full_page_writes = on",
    "wal_level = replica",
    "max_wal_senders = 10",
    "autovacuum = on",
    "jit = on",
    "checkpoint_timeout = 5min",
    "max_wal_size = 1GB",
];

/// Starts one, with further lines for its configuration.
#[must_use]
pub fn start(further: &[&str]) -> PrivateCluster {
    let settings: Vec<&str> = SETTINGS.into_iter().chain(further.iter().copied()).collect();
    PrivateCluster::start(&settings)
}
