//! How the database is doing, as the last look has found it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use lcs_domain::DatabaseStatus;
use lcs_domain::diagnostic::Severity;
use metrics::{counter, gauge};

use super::set;

/// Counters begin with 0, and so does what not every database counts.
pub(super) fn begin() {
    for outcome in ["done", "failed"] {
        counter!("lcs_database_looks_total", "outcome" => outcome).absolute(0);
    }
    gauge!("lcs_database_last_look_timestamp_seconds").set(0.0);
    gauge!("lcs_database_slowest_statement_seconds").set(0.0);
}

/// A look that failed: what the last one found stays.
pub(crate) fn database_not_seen() {
    counter!("lcs_database_looks_total", "outcome" => "failed").increment(1);
}

/// A gauge with its labels.
type Gauge = (&'static str, Vec<(&'static str, String)>);

/// The gauges of a database, and which of them the last look has set: what is gone by the next one is 0 then.
#[derive(Debug, Default)]
pub(crate) struct DatabaseGauges {
    set: BTreeSet<Gauge>,
}

impl DatabaseGauges {
    /// What a look has found.
    pub(crate) fn looked_at(&mut self, status: &DatabaseStatus, now: DateTime<Utc>) {
        counter!("lcs_database_looks_total", "outcome" => "done").increment(1);
        gauge!("lcs_database_last_look_timestamp_seconds").set(super::seconds(now));
        let before = std::mem::take(&mut self.set);
        if let Some(bytes) = status.bytes {
            set("lcs_database_bytes", bytes);
        }
        for table in &status.tables {
            let label = ("table", table.name.as_str());
            self.set("lcs_database_table_bytes", &[label], Some(table.total_bytes));
            self.set("lcs_database_table_rows", &[label], table.rows);
            self.set("lcs_database_table_dead_rows", &[label], table.dead_rows);
        }
        for index in &status.indexes {
            let label = ("index", index.name.as_str());
            self.set("lcs_database_index_bytes", &[label], Some(index.bytes));
            self.set("lcs_database_index_scans", &[label], index.scans);
            self.set("lcs_database_index_bloat_bytes", &[label], index.bloat_bytes);
        }
        if let Some(connections) = status.connections {
            for (state, count) in [
                ("used", connections.used),
                ("idle_in_transaction", connections.idle_in_transaction),
                ("max", connections.max),
            ] {
                gauge!("lcs_database_connections", "state" => state).set(count);
            }
        }
        if let Some(seconds) = status.oldest_transaction_seconds {
            gauge!("lcs_database_oldest_transaction_seconds").set(seconds);
        }
        if let Some(ids) = status.transaction_ids {
            set("lcs_database_transaction_id_age", ids.age);
        }
        let slowest = status.statements.iter().flatten().map(|statement| statement.mean_ms).reduce(f64::max);
        gauge!("lcs_database_slowest_statement_seconds").set(slowest.unwrap_or_default() / 1e3);
        for finding in status.findings() {
            for severity in [Severity::Ok, Severity::Warning, Severity::Error] {
                let labels = [("check", finding.check), ("severity", severity.as_str())];
                self.set("lcs_database_finding", &labels, Some(u64::from(finding.severity == severity)));
            }
        }
        for (name, labels) in before.difference(&self.set) {
            gauge!(*name, labels).set(0.0);
        }
    }

    fn set(&mut self, name: &'static str, labels: &[(&'static str, &str)], count: Option<u64>) {
        let Some(count) = count else { return };
        let labels: Vec<_> = labels.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        #[expect(clippy::cast_precision_loss, reason = "no table holds 2^53 of them")]
        gauge!(name, &labels).set(count as f64);
        self.set.insert((name, labels));
    }
}

#[cfg(test)]
mod tests {
    use lcs_domain::database::IndexStatus;
    use lcs_domain::{Clock as _, SystemClock};

    use super::*;

    #[test]
    fn what_is_gone_is_0_at_the_next_look() {
        let handle = crate::telemetry::install();
        let mut gauges = DatabaseGauges::default();
        let index = IndexStatus {
            name: "gone_idx".to_owned(),
            table: "t".to_owned(),
            bytes: 8_192,
            scans: Some(3),
            is_unique: false,
            bloat_bytes: None,
        };
        let with = DatabaseStatus { indexes: vec![index], ..DatabaseStatus::default() };
        for (status, bytes) in [(with, "8192"), (DatabaseStatus::default(), "0")] {
            gauges.looked_at(&status, SystemClock.now());
            let line = format!("lcs_database_index_bytes{{index=\"gone_idx\"}} {bytes}\n");
            assert!(handle.render().contains(&line), "{line}");
        }
    }
}
