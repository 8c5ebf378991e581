//! Eight writers, and eight readers of what it takes to make an agent again: on one conversation, and on one each.
//!
//! The groups are named after those of vllm's agentic-api. An iteration is all eight.

use std::sync::Arc;

use criterion::{Criterion, Throughput};
use lcs_benches::Result;
use lcs_benches::choice::Client;
use lcs_benches::fixture::{Fixture, SIZES};
use lcs_benches::workload::{Host, Workload};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const CLIENTS: u64 = 8;

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = Runtime::new()?;
    let memory = runtime.block_on(Fixture::memory())?;
    let sqlite = runtime.block_on(Fixture::sqlite())?;
    let groups: [(&str, &[Workload], u64); 2] = [
        ("concurrent_conversation_persist", &[Workload::Append], 1),
        ("rehydrate", &[Workload::State, Workload::NewestTurns], SIZES.hot + 1),
    ];
    for (name, workloads, shared) in groups {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(CLIENTS));
        for (store, fixture) in [("memory", &memory), ("sqlite", &sqlite)] {
            for (which, conversation) in [("same", Some(shared)), ("independent", None)] {
                let once = all(&fixture.host, workloads, conversation, 1);
                runtime.block_on(once)?;
                let mut seed = 1;
                group.bench_function(format!("{which}/{store}"), |bencher| {
                    bencher.iter(|| {
                        seed += 1;
                        runtime.block_on(all(&fixture.host, workloads, conversation, seed))
                    });
                });
            }
        }
        group.finish();
    }
    criterion.final_summary();
    Ok(())
}

/// Each client runs each of the workloads once.
async fn all(
    host: &Arc<Host>,
    workloads: &'static [Workload],
    conversation: Option<u64>,
    seed: u64,
) -> Result<()> {
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let host = Arc::clone(host);
        let mut client = Client::new(number, CLIENTS, seed, conversation, SIZES);
        clients.spawn(async move {
            for workload in workloads {
                host.operate(*workload, &mut client).await.map_err(|failure| failure.to_string())?;
            }
            Ok::<(), String>(())
        });
    }
    while let Some(done) = clients.join_next().await {
        done??;
    }
    Ok(())
}
