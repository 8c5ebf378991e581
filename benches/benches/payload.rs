//! What a document costs on its way in, and a page of rows on its way out.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use lcs_benches::Result;
use lcs_benches::choice::Client;
use lcs_benches::fixture::{Fixture, SIZES};
use lcs_benches::payload::Payloads;
use lcs_benches::workload::Workload;
use lcs_domain::{Clock as _, Metadata, NewTurn, Payload, SystemClock, TurnId};
use serde_json::json;
use tokio::runtime::Runtime;

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    validation(&mut criterion)?;
    pages(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

fn validation(criterion: &mut Criterion) -> Result<()> {
    let payloads = Payloads::of(1);
    let numbers = json!((0..500).map(|n| f64::from(n) * 1.1).collect::<Vec<_>>());
    let texts = [
        ("canonical_2k", payloads.output_message.to_string()),
        ("canonical_4k", payloads.current_state.to_string()),
        ("spelled_otherwise_2k", serde_json::to_string_pretty(&payloads.output_message)?),
        ("numbers_500", numbers.to_string()),
    ];
    let mut group = criterion.benchmark_group("payload_validation");
    for (name, text) in &texts {
        Payload::parse(text)?;
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(*name, |bencher| bencher.iter(|| Payload::parse(black_box(text))));
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("from_value_2k", |bencher| {
        bencher.iter(|| Payload::from_value(black_box(&payloads.output_message)));
    });
    group.bench_function("metadata_200", |bencher| {
        bencher.iter(|| Metadata::from_value(black_box(&payloads.metadata)));
    });
    let (input, output) =
        (Payload::from_value(&payloads.input_messages)?, Payload::from_value(&payloads.output_message)?);
    let metadata = Metadata::from_value(&payloads.metadata)?;
    let (turn_id, now) = (TurnId::generate(), SystemClock.now());
    group.bench_function("content_hash_of_a_turn", |bencher| {
        bencher
            .iter(|| NewTurn::new(turn_id, input.clone(), Some(output.clone()), now, now, metadata.clone()));
    });
    group.finish();
    Ok(())
}

/// Rows are decoded behind the port: what can be measured of it is the whole page.
fn pages(criterion: &mut Criterion) -> Result<()> {
    let runtime = Runtime::new()?;
    let stores =
        [("memory", runtime.block_on(Fixture::memory())?), ("sqlite", runtime.block_on(Fixture::sqlite())?)];
    let mut group = criterion.benchmark_group("row_decoding");
    group.throughput(Throughput::Elements(50));
    for (name, fixture) in &stores {
        let mut client = Client::new(0, 1, 1, None, SIZES);
        let read = fixture.host.operate(Workload::History, &mut client);
        runtime.block_on(read).map_err(|failure| failure.to_string())?;
        group.bench_function(format!("page_of_50/{name}"), |bencher| {
            bencher.iter(|| runtime.block_on(fixture.host.operate(Workload::History, &mut client)));
        });
    }
    group.finish();
    Ok(())
}
