//! Many clients at once against a running service, and whether it keeps to what it must show meanwhile.
//!
//! `http-load --url http://127.0.0.1:PORT [--clients 500] [--seconds 30] [--pid PID] [--database-url URL]
//! [--pool-size 50]` prints one JSON document. The exit code is 1 where anything but 2xx, 429 or 503 with
//! `Retry-After` was answered, a stored turn was not shown, the liveness took 50 ms, the memory of process
//! PID went on growing, or the database saw more connections than the pool may have.

mod client;
mod database;
mod liveness;
mod memory;
mod tally;

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use lcs_tests::options::options;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use self::tally::Tally;

type Failure = Box<dyn Error + Send + Sync>;

/// How long an answer may take before it counts as none.
const PATIENCE: Duration = Duration::from_mins(1);

/// The longest that a sign of life may take.
const LIVENESS_LIMIT_MS: f64 = 50.0;

/// The options of the command line.
const OPTIONS: [&str; 6] = ["url", "clients", "seconds", "pid", "database-url", "pool-size"];

#[tokio::main]
async fn main() -> Result<ExitCode, Failure> {
    let options = options(&OPTIONS)?;
    let number = |name: &str, default: u32| options.get(name).map_or(Ok(default), |text| text.parse());
    let url = options.get("url").ok_or("write --url http://ADDRESS:PORT")?;
    let address: String = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let (clients, seconds) = (number("clients", 500)?, number("seconds", 30)?);
    let pool_size = number("pool-size", 50)?;
    let until = Instant::now() + Duration::from_secs(seconds.into());

    let liveness = liveness::watch(address.clone(), until);
    let memory = options.get("pid").map(|pid| tokio::spawn(memory::watch(pid.clone(), until)));
    let connections =
        options.get("database-url").map(|url| tokio::spawn(database::watch(url.clone(), until)));
    let mut running = JoinSet::new();
    for client in 0..clients {
        running.spawn(client::run(address.clone(), client, until));
    }
    let mut tally = Tally::default();
    while let Some(client) = running.join_next().await {
        tally.add(client?);
    }
    let liveness = liveness.join().map_err(|_| "the prober of the liveness panicked")??;
    let memory = match memory {
        Some(memory) => Some(memory.await??),
        None => None,
    };
    let most_connections = match connections {
        Some(connections) => Some(connections.await??),
        None => None,
    };

    let mut broken = tally.broken();
    if liveness.failures > 0 || liveness.max_ms >= LIVENESS_LIMIT_MS {
        broken.push(format!(
            "the liveness took {:.1} ms, and failed {} times",
            liveness.max_ms, liveness.failures
        ));
    }
    if let Some(growth) = memory.as_ref().and_then(memory::Memory::excess) {
        broken.push(format!("the memory went on growing, by {growth} KiB"));
    }
    if let Some(most) = most_connections.filter(|most| *most > i64::from(pool_size)) {
        broken.push(format!("the database saw {most} connections, of {pool_size}"));
    }
    let report = json!({
        "clients": clients,
        "seconds": seconds,
        "requests": tally.report(seconds),
        "liveness": liveness.report(),
        "memory": memory.map(|memory| memory.report()),
        "most_connections": most_connections,
        "broken": broken,
    });
    writeln!(std::io::stdout(), "{report:#}")?;
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
