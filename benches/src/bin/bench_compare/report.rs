//! The table, and the place in the documentation that it is written into.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread;

use lcs_benches::Result;
use lcs_benches::protocol::Measurement;
use lcs_benches::workload::Workload;
use lcs_storage::testing::PrivateCluster;

use crate::cell::{Cell, Round};
use crate::options::Options;

/// What the figures depend on, in a sentence.
pub(crate) async fn facts(cluster: &PrivateCluster, options: &Options) -> String {
    let server = cluster.database().await.value("SHOW server_version").await.unwrap_or_default();
    let processors = thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().next().unwrap_or("unknown");
    format!(
        "PostgreSQL {server}, synchronous_commit={}, {processors} processors for clients and server (load {load} at the \
         end), {} conversations of {} users, {} rounds of {} s each.",
        options.synchronous_commit,
        options.sizes.conversations(),
        options.sizes.users,
        options.rounds,
        options.seconds,
    )
}

const fn title(workload: Workload) -> &'static str {
    match workload {
        Workload::Append => "append a turn",
        Workload::AppendWithState => "append a turn and the agent's state",
        Workload::History => "all 50 turns of a conversation",
        Workload::NewestTurns => "the newest 20 turns",
        Workload::List => "a user's newest 20 conversations",
        Workload::State => "an agent's state",
        Workload::Create => "create a conversation",
        Workload::Purge => "purge (rows)",
    }
}

/// The figures as Markdown; `limit` is the name of what they are held against.
pub(crate) fn table(facts: &str, limit: &str, cells: &[Cell]) -> String {
    let mut table = format!(
        "{facts}\n\n\
         | workload | clients | × {limit} | each round | ops/s | {limit}'s | p50 ms | {limit}'s | p99 ms | {limit}'s | \
         client CPU µs | {limit}'s |\n|---|{}\n",
        "---:|".repeat(11)
    );
    for cell in cells {
        // Writing to a text does not fail.
        let _ = writeln!(table, "{}", row(cell));
    }
    table
}

/// One of the figures of a measurement.
type Figure = fn(&Measurement) -> Option<f64>;

fn row(cell: &Cell) -> String {
    let each: Vec<String> = cell
        .rounds
        .iter()
        .map(|round| format!("{:.2}", round.ours.ops_per_s / round.limit.ops_per_s))
        .collect();
    let mut row = format!(
        "| {} {} | {} | **{:.2}** | {} |",
        cell.workload,
        title(cell.workload),
        cell.concurrency,
        cell.ratio(),
        each.join(" ")
    );
    let columns: [(Figure, f64, usize); 4] = [
        (|measured| Some(measured.ops_per_s), 1.0, 0),
        (|measured| measured.p50_us, 1e3, 2),
        (|measured| measured.p99_us, 1e3, 2),
        (|measured| measured.client_cpu_us_per_op, 1.0, 0),
    ];
    for (of, unit, digits) in columns {
        let sides: [fn(&Round) -> &Measurement; 2] = [|round| &round.ours, |round| &round.limit];
        for side in sides {
            let value = cell.median(|round| of(side(round)));
            let shown = value.map_or_else(|| "–".to_owned(), |value| format!("{:.digits$}", value / unit));
            let _ = write!(row, " {shown} |");
        }
    }
    row
}

/// Writes `table` into the document, between the markers of this name.
pub(crate) fn write(file: &Path, name: &str, table: &str) -> Result<()> {
    let document = fs::read_to_string(file)?;
    let changed = between(&document, name, table)
        .ok_or_else(|| format!("{} has no markers for {name}: put them back", file.display()))?;
    Ok(fs::write(file, changed)?)
}

fn between(document: &str, name: &str, table: &str) -> Option<String> {
    let begin = format!("<!-- bench: {name} -->");
    let (before, rest) = document.split_once(&begin)?;
    let end = "<!-- bench: end -->";
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n{}\n{end}{after}", table.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_the_place_of_the_one_before() {
        let document = "a\n<!-- bench: synchronous_commit=on -->\nold\n<!-- bench: end -->\n\
                        <!-- bench: synchronous_commit=off -->\n<!-- bench: end -->\nb\n";
        let changed = between(document, "synchronous_commit=on", "new\n\n").unwrap();
        assert_eq!(
            changed,
            "a\n<!-- bench: synchronous_commit=on -->\nnew\n<!-- bench: end -->\n\
             <!-- bench: synchronous_commit=off -->\n<!-- bench: end -->\nb\n"
        );
        assert!(between(document, "sometimes", "new").is_none());
    }

    #[test]
    fn a_row_has_a_column_for_each_of_the_heads() {
        let of = |ops_per_s| Measurement { ops_per_s, p50_us: Some(1_234.0), ..Measurement::default() };
        let rounds = vec![Round { limit: of(10.0), ours: of(20.0) }];
        let cell = Cell { workload: Workload::Append, concurrency: 8, rounds };
        let row = row(&cell);
        assert_eq!(row, "| W1 append a turn | 8 | **2.00** | 2.00 | 20 | 10 | 1.23 | 1.23 | – | – | – | – |");
        let table = table("", "limit", &[cell]);
        assert!(table.lines().skip(2).all(|line| line.matches('|').count() == 13), "{table}");
    }
}
