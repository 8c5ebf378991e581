//! What all phases of a run are given.

use std::path::PathBuf;

use super::bar::Bar;

/// A run.
pub(crate) struct Run {
    pub(crate) program: PathBuf,
    /// Where histories, logs and the table are kept.
    pub(crate) folder: PathBuf,
    pub(crate) seed: u64,
    /// For how long faults are inflicted.
    pub(crate) seconds: u64,
    pub(crate) bar: Bar,
}

impl Run {
    /// The folder of a replica of a phase.
    pub(crate) fn home(&self, phase: &str, replica: usize) -> PathBuf {
        self.folder.join(format!("{phase}-replica-{replica}"))
    }
}
