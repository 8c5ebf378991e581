//! Closed loops: a number of clients, each of which begins its next operation when the last is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::choice::Client;
use crate::dataset::Sizes;
use crate::protocol::{Measurement, Run};
use crate::workload::{Host, Workload};
use crate::{Result, processor};

/// After this many failures a client gives up: the workload does not work.
const MOST_FAILURES: u64 = 1_000;

/// What one client saw.
#[derive(Debug, Default)]
struct Seen {
    /// What each successful operation took, in nanoseconds.
    nanoseconds: Vec<u64>,
    operations: u64,
    errors: BTreeMap<String, u64>,
}

/// Runs `workload` as `run` says.
///
/// # Errors
/// A sentence, where the processor's time cannot be read, or a client panicked.
pub async fn run(host: &Arc<Host>, workload: Workload, run: &Run, sizes: Sizes) -> Result<Measurement> {
    // None of them left: a run without a bound is bounded by its time.
    let left = Arc::new(AtomicI64::new(
        run.max_ops.map_or(i64::MAX, |most| i64::try_from(most).unwrap_or(i64::MAX)),
    ));
    let cpu_before = processor::own_seconds()?;
    let begun = Instant::now();
    let end = begun + Duration::from_secs_f64(run.seconds.unwrap_or(3_600.0));
    let mut clients = JoinSet::new();
    for number in 0..run.concurrency {
        let client = Client::new(number, run.concurrency, run.seed, run.conv, sizes);
        clients.spawn(go(Arc::clone(host), workload, client, end, Arc::clone(&left)));
    }
    let mut all = Seen::default();
    while let Some(seen) = clients.join_next().await {
        let seen = seen?;
        all.nanoseconds.extend(seen.nanoseconds);
        all.operations += seen.operations;
        for (error, count) in seen.errors {
            *all.errors.entry(error).or_default() += count;
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    Ok(summary(all, seconds, processor::own_seconds()? - cpu_before))
}

async fn go(
    host: Arc<Host>,
    workload: Workload,
    mut client: Client,
    end: Instant,
    left: Arc<AtomicI64>,
) -> Seen {
    let mut seen = Seen::default();
    let mut failures = 0;
    loop {
        let begun = Instant::now();
        if begun >= end || failures > MOST_FAILURES || left.fetch_sub(1, Ordering::Relaxed) <= 0 {
            return seen;
        }
        match host.operate(workload, &mut client).await {
            Ok(operations) => {
                let took = begun.elapsed().as_nanos();
                seen.nanoseconds.push(u64::try_from(took).unwrap_or(u64::MAX));
                seen.operations += operations;
            }
            Err(error) => {
                failures += 1;
                *seen.errors.entry(error.to_string()).or_default() += 1;
            }
        }
        client.advance();
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts and nanoseconds of a run are far below 2^53")]
fn summary(mut seen: Seen, seconds: f64, cpu_seconds: f64) -> Measurement {
    seen.nanoseconds.sort_unstable();
    let count = seen.nanoseconds.len();
    let percentile = |hundredths: usize| {
        let place = (count * hundredths / 100).min(count.saturating_sub(1));
        seen.nanoseconds.get(place).map(|nanoseconds| *nanoseconds as f64 / 1e3)
    };
    let operations = seen.operations as f64;
    Measurement {
        ops: seen.operations,
        seconds,
        ops_per_s: if seconds > 0.0 { operations / seconds } else { 0.0 },
        p50_us: percentile(50),
        p95_us: percentile(95),
        p99_us: percentile(99),
        client_cpu_us_per_op: (seen.operations > 0).then(|| cpu_seconds * 1e6 / operations),
        errors: seen.errors,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_times() {
        let seen = Seen {
            nanoseconds: (1..=100).rev().map(|n| n * 1_000).collect(),
            operations: 100,
            errors: BTreeMap::new(),
        };
        let measured = summary(seen, 2.0, 0.001);
        assert_eq!(
            (measured.p50_us, measured.p95_us, measured.p99_us),
            (Some(51.0), Some(96.0), Some(100.0))
        );
        assert!((measured.ops_per_s - 50.0).abs() < 1e-9);
        assert!((measured.client_cpu_us_per_op.unwrap() - 10.0).abs() < 1e-9);
    }

    #[test]
    fn of_no_operation_there_is_no_percentile() {
        let measured = summary(Seen::default(), 1.0, 0.0);
        assert_eq!((measured.p50_us, measured.client_cpu_us_per_op), (None, None));
    }
}
