//! What of a database's state its operator has to look at.

use super::{DatabaseStatus, bytes};
use crate::diagnostic::Finding;

/// The share of connections from which on the next replica may find none.
const CROWDED: f64 = 0.8;
/// A transaction that is older keeps removed rows from being cleaned up.
const OLD_TRANSACTION_SECONDS: f64 = 300.0;
/// Fewer removed rows are not worth a word.
const MANY_DEAD_ROWS: u64 = 10_000;
/// The share of a table's rows that are dead before vacuum is behind: its own default begins at a fifth.
const DEAD_SHARE: f64 = 0.4;
/// Smaller indexes are not worth a word.
const LARGE_INDEX: u64 = 64 << 20;
/// Transaction ids run out at 2^31.
const OLD_IDS: u64 = 1_500_000_000;
/// The write-ahead log of a file is folded into it every 4 MiB or so; one that is far larger is held by a reader.
const LARGE_LOG: u64 = 256 << 20;

impl DatabaseStatus {
    /// What is to be said of it: one finding for each check that this backend has figures for.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        let checks = [
            self.size(),
            self.connections(),
            self.transactions(),
            self.transaction_ids(),
            self.dead_rows(),
            self.index_use(),
            self.index_bloat(),
            self.statements(),
            self.log(),
        ];
        checks.into_iter().flatten().collect()
    }

    fn size(&self) -> Option<Finding> {
        let size = bytes(self.bytes?);
        let largest: Vec<String> = self
            .tables
            .iter()
            .take(3)
            .map(|table| format!("{} {}", table.name, bytes(table.total_bytes)))
            .collect();
        let largest = if largest.is_empty() { String::new() } else { format!(": {}", largest.join(", ")) };
        Some(Finding::ok("size", format!("the database has {size}{largest}")))
    }

    fn connections(&self) -> Option<Finding> {
        const CHECK: &str = "connections";
        let found = self.connections?;
        let detail = format!("{} of {} connections are in use on the server", found.used, found.max);
        Some(if f64::from(found.used) < f64::from(found.max) * CROWDED {
            Finding::ok(CHECK, detail)
        } else {
            let remedy = "raise max_connections, lower pool_size and max_overflow, or put a pooler between";
            Finding::warning(CHECK, detail, remedy)
        })
    }

    fn transactions(&self) -> Option<Finding> {
        const CHECK: &str = "transactions";
        let seconds = self.oldest_transaction_seconds?;
        let idle = self.connections.map_or(0, |connections| connections.idle_in_transaction);
        let detail = format!("the oldest transaction runs for {seconds:.0} s; {idle} are idle in one");
        Some(if seconds < OLD_TRANSACTION_SECONDS {
            Finding::ok(CHECK, detail)
        } else {
            let remedy = "look for it in pg_stat_activity: while it runs, no removed row is cleaned up";
            Finding::warning(CHECK, detail, remedy)
        })
    }

    fn transaction_ids(&self) -> Option<Finding> {
        const CHECK: &str = "transaction_ids";
        const REMEDY: &str =
            "let autovacuum work, or run VACUUM FREEZE; old transactions and replication slots stop both";
        let ids = self.transaction_ids?;
        let detail = format!(
            "the oldest transaction id is {} transactions old; the server freezes from {} on",
            ids.age, ids.freeze_at
        );
        Some(if ids.age >= OLD_IDS {
            Finding::error(CHECK, detail, REMEDY)
        } else if ids.age >= ids.freeze_at.saturating_mul(2) {
            Finding::warning(CHECK, detail, REMEDY)
        } else {
            Finding::ok(CHECK, detail)
        })
    }

    fn dead_rows(&self) -> Option<Finding> {
        const CHECK: &str = "dead_rows";
        let known = self.tables.iter().filter_map(|table| Some((table, table.rows?, table.dead_rows?)));
        let known: Vec<_> = known.collect();
        if known.is_empty() {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a share of an estimate")]
        let behind =
            |rows: u64, dead: u64| dead >= MANY_DEAD_ROWS && dead as f64 > (rows + dead) as f64 * DEAD_SHARE;
        let mut dead: Vec<String> = Vec::new();
        for (table, rows, count) in &known {
            if behind(*rows, *count) {
                let last = table.last_vacuum.map_or_else(|| "never".to_owned(), |at| at.to_rfc3339());
                dead.push(format!("{} has {count} beside {rows} (last vacuum: {last})", table.name));
            }
        }
        Some(if dead.is_empty() {
            Finding::ok(CHECK, "removed rows are cleaned up in time")
        } else {
            let detail = format!("removed rows that still take room: {}", dead.join(", "));
            Finding::warning(
                CHECK,
                detail,
                "run VACUUM on these tables, and have autovacuum run more often there",
            )
        })
    }

    fn index_use(&self) -> Option<Finding> {
        const CHECK: &str = "unused_indexes";
        let mut known = self.indexes.iter().filter(|index| index.scans.is_some()).peekable();
        known.peek()?;
        let unused =
            known.filter(|index| index.scans == Some(0) && !index.is_unique && index.bytes >= LARGE_INDEX);
        let unused: Vec<String> =
            unused.map(|index| format!("{} ({})", index.name, bytes(index.bytes))).collect();
        Some(if unused.is_empty() {
            Finding::ok(CHECK, "no large index is unused")
        } else {
            let since =
                self.counted_since.map_or_else(String::new, |since| format!(" since {}", since.to_rfc3339()));
            let detail = format!("never used{since}: {}", unused.join(", "));
            let remedy = "an index that no migration made can be dropped, if no standby uses it; leave ours";
            Finding::warning(CHECK, detail, remedy)
        })
    }

    fn index_bloat(&self) -> Option<Finding> {
        const CHECK: &str = "index_bloat";
        let known = self.indexes.iter().filter_map(|index| Some((index, index.bloat_bytes?)));
        let known: Vec<_> = known.collect();
        if known.is_empty() {
            return None;
        }
        let bloated: Vec<String> = known
            .into_iter()
            .filter(|(index, bloat)| *bloat >= LARGE_INDEX && *bloat > index.bytes / 2)
            .map(|(index, bloat)| {
                format!("{} (about {} of {})", index.name, bytes(bloat), bytes(index.bytes))
            })
            .collect();
        Some(if bloated.is_empty() {
            Finding::ok(CHECK, "no large index is more than half empty, as estimated")
        } else {
            let detail = format!("more than half empty, as estimated: {}", bloated.join(", "));
            Finding::warning(CHECK, detail, "rebuild each with REINDEX INDEX CONCURRENTLY")
        })
    }

    fn statements(&self) -> Option<Finding> {
        const CHECK: &str = "statements";
        self.connections?;
        Some(match &self.statements {
            None => Finding::ok(
                CHECK,
                "not counted: pg_stat_statements is not installed, or this role may not read it",
            ),
            Some(statements) => {
                let slowest = statements.iter().map(|statement| statement.mean_ms).fold(0.0, f64::max);
                Finding::ok(
                    CHECK,
                    format!("counted; the slowest of the costly ones takes {slowest:.1} ms on average"),
                )
            }
        })
    }

    fn log(&self) -> Option<Finding> {
        const CHECK: &str = "file";
        let file = self.file?;
        let detail = format!(
            "the file has {}, of which {} are free; its log has {}",
            bytes(file.bytes),
            bytes(file.free_bytes),
            bytes(file.wal_bytes)
        );
        Some(if file.wal_bytes < LARGE_LOG {
            Finding::ok(CHECK, detail)
        } else {
            let remedy =
                "look for another program that reads the file for very long: the log grows meanwhile";
            Finding::warning(CHECK, detail, remedy)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ConnectionStatus, FileStatus, IndexStatus, TableStatus, TransactionIds};
    use super::*;
    use crate::diagnostic::Severity;

    fn severity(status: &DatabaseStatus, check: &str) -> Severity {
        status.findings().iter().find(|finding| finding.check == check).unwrap().severity
    }

    #[test]
    fn a_backend_that_knows_nothing_has_nothing_to_say() {
        assert_eq!(DatabaseStatus::default().findings(), []);
    }

    #[test]
    fn what_runs_out_is_told_before_it_does() {
        let connections = |used| {
            let status = ConnectionStatus { used, to_this_database: used, idle_in_transaction: 0, max: 100 };
            DatabaseStatus { connections: Some(status), ..DatabaseStatus::default() }
        };
        assert_eq!(severity(&connections(79), "connections"), Severity::Ok);
        assert_eq!(severity(&connections(80), "connections"), Severity::Warning);
        let ids = |age| {
            let ids = TransactionIds { age, freeze_at: 200_000_000 };
            DatabaseStatus { transaction_ids: Some(ids), ..DatabaseStatus::default() }
        };
        let severities =
            [200_000_000, 400_000_000, 1_500_000_000].map(|age| severity(&ids(age), "transaction_ids"));
        assert_eq!(severities, [Severity::Ok, Severity::Warning, Severity::Error]);
        let oldest = |seconds| DatabaseStatus {
            oldest_transaction_seconds: Some(seconds),
            ..DatabaseStatus::default()
        };
        assert_eq!(severity(&oldest(299.0), "transactions"), Severity::Ok);
        assert_eq!(severity(&oldest(300.0), "transactions"), Severity::Warning);
        let log = |wal_bytes| {
            let file = FileStatus { bytes: 1, free_bytes: 0, wal_bytes };
            DatabaseStatus { file: Some(file), ..DatabaseStatus::default() }
        };
        assert_eq!(
            [0, 256 << 20].map(|bytes| severity(&log(bytes), "file")),
            [Severity::Ok, Severity::Warning]
        );
    }

    #[test]
    fn dead_rows_are_told_where_they_are_many_and_a_large_part() {
        let table = |rows, dead| {
            let table = TableStatus {
                name: "t".into(),
                total_bytes: 0,
                row_bytes: 0,
                long_value_bytes: 0,
                index_bytes: 0,
                rows: Some(rows),
                dead_rows: Some(dead),
                last_vacuum: None,
                sequential_scans: None,
            };
            severity(&DatabaseStatus { tables: vec![table], ..DatabaseStatus::default() }, "dead_rows")
        };
        assert_eq!(table(10, 9_999), Severity::Ok);
        assert_eq!(table(1_000_000, 100_000), Severity::Ok);
        assert_eq!(table(10_000, 10_000), Severity::Warning);
    }

    #[test]
    fn an_index_is_told_where_it_is_large_and_of_no_use_or_half_empty() {
        const LARGE: u64 = 200 << 20;
        let index = |bytes, scans, is_unique, bloat| {
            let index = IndexStatus {
                name: "i".into(),
                table: "t".into(),
                bytes,
                scans: Some(scans),
                is_unique,
                bloat_bytes: Some(bloat),
            };
            let status = DatabaseStatus { indexes: vec![index], ..DatabaseStatus::default() };
            (severity(&status, "unused_indexes"), severity(&status, "index_bloat"))
        };
        assert_eq!(index(1 << 20, 0, false, 1 << 20), (Severity::Ok, Severity::Ok));
        assert_eq!(index(LARGE, 0, true, 0), (Severity::Ok, Severity::Ok));
        assert_eq!(index(LARGE, 0, false, LARGE / 3), (Severity::Warning, Severity::Ok));
        assert_eq!(index(LARGE, 1, false, 150 << 20), (Severity::Ok, Severity::Warning));
    }
}
