//! What was asked and answered, counted.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

#[derive(Default)]
pub(crate) struct Tally {
    latencies_ms: BTreeMap<&'static str, Vec<f64>>,
    by_status: BTreeMap<String, u64>,
    /// What no server may answer to these clients, and how often.
    errors: BTreeMap<String, u64>,
    /// How often a history lacked a turn that had been acknowledged.
    missed: u64,
}

impl Tally {
    /// An answer. One that refuses for the moment and says when to come again is no error.
    pub(crate) fn count(&mut self, kind: &'static str, status: u16, comes_again: bool, took: Duration) {
        *self.by_status.entry(status.to_string()).or_default() += 1;
        match status {
            200..=299 => self.latencies_ms.entry(kind).or_default().push(took.as_secs_f64() * 1e3),
            429 | 503 if comes_again => {}
            _ => *self.errors.entry(format!("{kind} was answered with {status}")).or_default() += 1,
        }
    }

    pub(crate) fn fail(&mut self, error: &str) {
        *self.errors.entry(error.to_owned()).or_default() += 1;
    }

    pub(crate) const fn miss(&mut self) {
        self.missed += 1;
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (kind, latencies) in other.latencies_ms {
            self.latencies_ms.entry(kind).or_default().extend(latencies);
        }
        for (status, count) in other.by_status {
            *self.by_status.entry(status).or_default() += count;
        }
        for (error, count) in other.errors {
            *self.errors.entry(error).or_default() += count;
        }
        self.missed += other.missed;
    }

    pub(crate) fn broken(&self) -> Vec<String> {
        let mut broken: Vec<String> =
            self.errors.iter().map(|(error, count)| format!("{count} times: {error}")).collect();
        if self.missed > 0 {
            broken.push(format!("{} times a history lacked an acknowledged turn", self.missed));
        }
        if self.latencies_ms.is_empty() {
            broken.push("nothing was answered".to_owned());
        }
        broken
    }

    pub(crate) fn report(&self, seconds: u32) -> Value {
        let answered: usize = self.latencies_ms.values().map(Vec::len).sum();
        let latencies: BTreeMap<_, _> = self
            .latencies_ms
            .iter()
            .map(|(kind, latencies)| (*kind, percentiles(latencies.clone())))
            .collect();
        json!({
            "by_status": self.by_status,
            "errors": self.errors,
            "missed_turns": self.missed,
            "answered_per_second": answered / usize::try_from(seconds.max(1)).unwrap_or(usize::MAX),
            "latency_ms": latencies,
        })
    }
}

/// How many there are, and what half, 95 and 99 of 100, and all of them are within.
pub(crate) fn percentiles(mut values: Vec<f64>) -> Value {
    values.sort_by(f64::total_cmp);
    let at = |percent: usize| values.get((values.len().saturating_sub(1)) * percent / 100);
    json!({ "count": values.len(), "p50": at(50), "p95": at(95), "p99": at(99), "max": values.last() })
}
