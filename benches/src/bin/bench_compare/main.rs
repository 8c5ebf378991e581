//! Runs the worker against the limit, in turns, and writes the table of `docs/PERFORMANCE.md`.
//!
//! The limit is pgbench with the best single statement for each workload, prepared, on the same cluster: what
//! PostgreSQL gives to a client that does nothing else. A cell is a workload at a number of clients; it is measured
//! in rounds, in each of which both run for a slice of time, and the order changes. The ratio is the median over
//! the rounds, so that what else this machine does meets both.

mod beside;
mod cell;
mod contender;
mod limit;
mod options;
mod report;
mod retention;
mod service;
mod totals;

use std::io::{self, Write as _};

use lcs_benches::workload::Workload;
use lcs_benches::{Result, cluster};
use lcs_storage::testing::PrivateCluster;

use self::cell::Cell;
use self::contender::Contender;
use self::limit::Limit;
use self::options::Options;

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::read(std::env::args().skip(1))?;
    limit::check()?;
    let commit = format!("synchronous_commit = {}", options.synchronous_commit);
    let cluster = cluster::start(&[&commit]);
    if options.beside {
        let report = beside::measure(&cluster, &options).await?;
        return Ok(writeln!(io::stdout(), "{report}")?);
    }
    if !options.totals.is_empty() {
        let report = totals::measure(&cluster, &options).await?;
        return Ok(write!(io::stdout(), "{report}")?);
    }
    let (cells, limit, name) = if options.http {
        (service::measure(&cluster, &options).await?, "library", "http".to_owned())
    } else if options.indexed {
        (measure(&cluster, &options).await?, "limit", "indexed".to_owned())
    } else {
        let name = format!("synchronous_commit={}", options.synchronous_commit);
        (measure(&cluster, &options).await?, "limit", name)
    };
    let facts = report::facts(&cluster, &options).await;
    let report = report::table(&facts, limit, &cells);
    writeln!(io::stdout(), "{report}")?;
    if let Some(file) = &options.write {
        report::write(file, &name, &report)?;
    }
    Ok(())
}

async fn measure(cluster: &PrivateCluster, options: &Options) -> Result<Vec<Cell>> {
    let (of_limit, ours) = (cluster.database().await, cluster.database().await);
    let mut cells = Vec::new();
    if options.workloads.iter().any(|workload| *workload != Workload::Purge) {
        tell("loading the rows, twice")?;
        let limit = Limit::load(&of_limit, options.sizes).await?;
        if options.indexed {
            limit.index().await?;
        }
        let mut contender = Contender::start("pg", options, &ours)?;
        contender.ask_done(r#"{"cmd":"setup"}"#)?;
        for workload in options.workloads.iter().filter(|workload| **workload != Workload::Purge) {
            for concurrency in options.concurrencies(*workload) {
                let cell = Cell::measure(
                    *workload,
                    concurrency,
                    options,
                    |seed| limit.slice(*workload, concurrency, options, seed),
                    |seed| contender.slice(*workload, concurrency, options, seed),
                )?;
                tell(&cell.to_string())?;
                cells.push(cell);
            }
        }
        contender.quit()?;
    }
    if options.workloads.contains(&Workload::Purge) {
        let cell = retention::measure(cluster, options).await?;
        tell(&cell.to_string())?;
        cells.push(cell);
    }
    Ok(cells)
}

/// How far it has come, beside the report.
fn tell(what: &str) -> io::Result<()> {
    writeln!(io::stderr(), "{what}")
}
