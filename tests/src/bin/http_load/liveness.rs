//! Asks whether the process lives, every 50 ms, in a thread of its own: what keeps the clients waiting is
//! not to look like what keeps the service from answering.

use std::thread::JoinHandle;
use std::time::Duration;

use hyper::Method;
use lcs_tests::connection::Connection;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::tally::percentiles;
use super::{Failure, PATIENCE};

const EVERY: Duration = Duration::from_millis(50);

pub(crate) struct Liveness {
    latencies_ms: Vec<f64>,
    pub(crate) max_ms: f64,
    pub(crate) failures: u32,
}

impl Liveness {
    pub(crate) fn report(&self) -> Value {
        json!({ "latency_ms": percentiles(self.latencies_ms.clone()), "failures": self.failures })
    }
}

pub(crate) fn watch(address: String, until: Instant) -> JoinHandle<Result<Liveness, Failure>> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(probe(address, until)))
    })
}

async fn probe(address: String, until: Instant) -> Liveness {
    let mut connection = Connection::new(address, PATIENCE);
    let mut found = Liveness { latencies_ms: Vec::new(), max_ms: 0.0, failures: 0 };
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while Instant::now() < until {
        ticks.tick().await;
        let started = Instant::now();
        match connection.ask(Method::GET, "/liveness", &[], None).await {
            Ok(answered) if answered.status == 200 => {
                let took_ms = started.elapsed().as_secs_f64() * 1e3;
                found.latencies_ms.push(took_ms);
                found.max_ms = found.max_ms.max(took_ms);
            }
            _ => found.failures += 1,
        }
    }
    found
}
