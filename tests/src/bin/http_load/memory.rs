//! How much memory the service's process has, from second to second.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, interval};

use super::Failure;

/// What a process may grow by in the second half of the time: buffers that are made when they are needed.
const SLACK_KIB: u64 = 8 * 1024;

pub(crate) struct Memory {
    resident_kib: Vec<u64>,
}

impl Memory {
    pub(crate) fn report(&self) -> Value {
        json!({ "resident_kib": self.resident_kib, "growth_in_second_half_kib": self.growth() })
    }

    /// How much more there was at the end than half way, when all caches are full.
    fn growth(&self) -> u64 {
        let half = self.resident_kib.get(self.resident_kib.len() / 2).copied().unwrap_or_default();
        self.resident_kib.last().copied().unwrap_or_default().saturating_sub(half)
    }

    /// The growth, where it is more than a tenth and the slack.
    pub(crate) fn excess(&self) -> Option<u64> {
        let half = self.resident_kib.get(self.resident_kib.len() / 2).copied().unwrap_or_default();
        Some(self.growth()).filter(|growth| *growth > half / 10 + SLACK_KIB)
    }
}

pub(crate) async fn watch(pid: String, until: Instant) -> Result<Memory, Failure> {
    let path = format!("/proc/{}/status", pid.parse::<u32>()?);
    let mut resident_kib = Vec::new();
    let mut ticks = interval(Duration::from_secs(1));
    while Instant::now() < until {
        ticks.tick().await;
        let status = tokio::task::spawn_blocking({
            let path = path.clone();
            move || std::fs::read_to_string(path)
        });
        let status = status.await??;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("there is no VmRSS")?;
        resident_kib.push(line.trim().trim_end_matches(" kB").parse()?);
    }
    Ok(Memory { resident_kib })
}
