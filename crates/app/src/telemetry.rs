//! What the service tells of itself in numbers: Prometheus' metrics, which `docs/METRICS.md` lists.
//!
//! Counters and histograms go through the `metrics` facade where things happen; [`Timed`] counts what a store
//! is asked. What is a state (the pool, the cache, the fallback) is looked at when the metrics are asked for; the
//! database, every minute or so.
//! No label holds a user, a conversation, or anything that somebody said, and each has few values.

mod database;
mod metric;
pub(crate) mod request;
mod state;
mod timed;
#[cfg(feature = "opentelemetry")]
pub mod trace;

use std::sync::OnceLock;
use std::time::Duration;

use chrono::{DateTime, Utc};
use lcs_domain::{Clock as _, SystemClock};
use metrics::gauge;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

pub(crate) use self::database::{DatabaseGauges, database_not_seen};
pub use self::metric::{METRICS, Metric, MetricKind};
pub use self::timed::Timed;
use crate::PersistenceManager;

/// How often histograms are folded into their buckets. Until then each measurement takes memory.
const UPKEEP: Duration = Duration::from_secs(5);

/// What requests and queries take, in seconds: from a cached row to a model that thinks.
const BUCKETS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];

/// The process's metrics, installed at the first call: what happens before it is not counted.
pub fn install() -> &'static PrometheusHandle {
    static PROMETHEUS: OnceLock<PrometheusHandle> = OnceLock::new();
    PROMETHEUS.get_or_init(|| {
        // It refuses no buckets but an empty list of them.
        let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS).unwrap_or_default().build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("this process counts elsewhere: /metrics will be empty");
        }
        for metric in METRICS {
            metric.describe();
        }
        state::begin(SystemClock.now());
        database::begin();
        handle
    })
}

/// A moment as Prometheus counts it: seconds since 1970.
pub(crate) fn seconds(moment: DateTime<Utc>) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds are exact until the year 287396")]
    let milliseconds = moment.timestamp_millis() as f64;
    milliseconds / 1e3
}

pub(crate) fn set(name: &'static str, count: u64) {
    #[expect(clippy::cast_precision_loss, reason = "nothing that is counted here comes to 2^53")]
    gauge!(name).set(count as f64);
}

/// The metrics of now, as Prometheus reads them.
#[must_use]
pub fn render(manager: &PersistenceManager) -> String {
    let handle = install();
    state::look(manager);
    handle.render()
}

/// Keeps the memory of the metrics bounded where nobody asks for them. Never ends.
pub async fn upkeep() {
    loop {
        tokio::time::sleep(UPKEEP).await;
        install().run_upkeep();
    }
}
