//! How the database is doing, as the last look has found it.

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

/// What a look has found.
pub(crate) fn database_looked_at(status: &DatabaseStatus, now: DateTime<Utc>) {
    counter!("lcs_database_looks_total", "outcome" => "done").increment(1);
    gauge!("lcs_database_last_look_timestamp_seconds").set(super::seconds(now));
    if let Some(bytes) = status.bytes {
        set("lcs_database_bytes", bytes);
    }
    tables(status);
    indexes(status);
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
            let is_it = u32::from(finding.severity == severity);
            gauge!("lcs_database_finding", "check" => finding.check, "severity" => severity.as_str())
                .set(is_it);
        }
    }
}

fn tables(status: &DatabaseStatus) {
    for table in &status.tables {
        let label = [("table", table.name.clone())];
        set_labelled("lcs_database_table_bytes", &label, Some(table.total_bytes));
        set_labelled("lcs_database_table_rows", &label, table.rows);
        set_labelled("lcs_database_table_dead_rows", &label, table.dead_rows);
    }
}

fn indexes(status: &DatabaseStatus) {
    for index in &status.indexes {
        let label = [("index", index.name.clone())];
        set_labelled("lcs_database_index_bytes", &label, Some(index.bytes));
        set_labelled("lcs_database_index_scans", &label, index.scans);
        set_labelled("lcs_database_index_bloat_bytes", &label, index.bloat_bytes);
    }
}

fn set_labelled(name: &'static str, label: &[(&'static str, String); 1], count: Option<u64>) {
    if let Some(count) = count {
        #[expect(clippy::cast_precision_loss, reason = "no table holds 2^53 of them")]
        gauge!(name, label).set(count as f64);
    }
}
