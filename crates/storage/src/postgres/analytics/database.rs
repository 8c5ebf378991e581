//! How a PostgreSQL database is doing.

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Double, Text as SqlText};
use lcs_domain::DatabaseStatus;
use lcs_domain::database::{ConnectionStatus, IndexStatus, StatementStatus, TableStatus, TransactionIds};
use lcs_domain::repository::RepositoryResult;
use serde::Deserialize;

use super::statement_shape::shape;
use super::{Look, figure};
use crate::postgres::connect::quoted;
use crate::postgres::statement::statement;

statement! {
    /// How the database is doing.
    Status(include_str!("status.sql")) -> SqlText {
        namespace: String as SqlText,
    }
}

statement! {
    /// The schema that `pg_stat_statements` is in; no row where it is not installed, or is too old.
    Extension(
        "SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace \
         WHERE e.extname = 'pg_stat_statements' AND string_to_array(e.extversion, '.')::int[] >= ARRAY[1, 8]"
    ) -> SqlText {}
}

/// What `status.sql` gives.
#[derive(Deserialize)]
struct StatusRow {
    bytes: u64,
    tables: Vec<TableRow>,
    indexes: Vec<IndexRow>,
    counted_since: Option<DateTime<Utc>>,
    connections: ConnectionRow,
    oldest_transaction_seconds: f64,
    transaction_ids: TransactionRow,
}

#[derive(Deserialize)]
struct TableRow {
    name: String,
    total_bytes: u64,
    row_bytes: u64,
    long_value_bytes: u64,
    index_bytes: u64,
    rows: Option<u64>,
    dead_rows: Option<u64>,
    last_vacuum: Option<DateTime<Utc>>,
    sequential_scans: Option<u64>,
}

#[derive(Deserialize)]
struct IndexRow {
    name: String,
    table: String,
    bytes: u64,
    scans: Option<u64>,
    is_unique: bool,
    bloat_bytes: Option<u64>,
}

#[derive(Deserialize)]
struct ConnectionRow {
    used: u32,
    to_this_database: u32,
    idle_in_transaction: u32,
    max: u32,
}

#[derive(Deserialize)]
struct TransactionRow {
    age: u64,
    freeze_at: u64,
}

/// All but the statements.
pub(super) async fn status(look: &Look, namespace: String) -> RepositoryResult<DatabaseStatus> {
    let json: String = look.one(&Status { namespace }).await?;
    let row: StatusRow = figure::read(&json)?;
    let tables = row.tables.into_iter().map(|table| TableStatus {
        name: table.name,
        total_bytes: table.total_bytes,
        row_bytes: table.row_bytes,
        long_value_bytes: table.long_value_bytes,
        index_bytes: table.index_bytes,
        rows: table.rows,
        dead_rows: table.dead_rows,
        last_vacuum: table.last_vacuum,
        sequential_scans: table.sequential_scans,
    });
    let indexes = row.indexes.into_iter().map(|index| IndexStatus {
        name: index.name,
        table: index.table,
        bytes: index.bytes,
        scans: index.scans,
        is_unique: index.is_unique,
        bloat_bytes: index.bloat_bytes,
    });
    let ConnectionRow { used, to_this_database, idle_in_transaction, max } = row.connections;
    let TransactionRow { age, freeze_at } = row.transaction_ids;
    Ok(DatabaseStatus {
        backend: "postgresql",
        bytes: Some(row.bytes),
        tables: tables.collect(),
        indexes: indexes.collect(),
        counted_since: row.counted_since,
        connections: Some(ConnectionStatus { used, to_this_database, idle_in_transaction, max }),
        oldest_transaction_seconds: Some(row.oldest_transaction_seconds),
        transaction_ids: Some(TransactionIds { age, freeze_at }),
        ..DatabaseStatus::default()
    })
}

/// A line of `pg_stat_statements`.
#[derive(QueryableByName)]
struct StatementRow {
    #[diesel(sql_type = SqlText)]
    text: String,
    #[diesel(sql_type = BigInt)]
    calls: i64,
    #[diesel(sql_type = Double)]
    total_ms: f64,
    #[diesel(sql_type = Double)]
    mean_ms: f64,
    #[diesel(sql_type = Double)]
    max_ms: f64,
}

/// The statements to this database that took the most time; `None` where nobody counts them.
pub(super) async fn statements(look: &Look) -> RepositoryResult<Option<Vec<StatementStatus>>> {
    let Some(namespace) = look.all::<String>(&Extension {}).await?.pop() else { return Ok(None) };
    let query = diesel::sql_query(format!(
        "SELECT query AS text, calls, total_exec_time AS total_ms, mean_exec_time AS mean_ms, \
                max_exec_time AS max_ms \
           FROM {}.pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid \
          WHERE d.datname = current_database() AND query IS NOT NULL \
            AND query <> '<insufficient privilege>' \
          ORDER BY total_exec_time DESC LIMIT 10",
        quoted(&namespace)
    ));
    let rows: Vec<StatementRow> = look.all(&query).await?;
    let statements = rows.into_iter().map(|row| StatementStatus {
        text: shape(&row.text),
        calls: row.calls.unsigned_abs(),
        total_ms: row.total_ms,
        mean_ms: row.mean_ms,
        max_ms: row.max_ms,
    });
    Ok(Some(statements.collect()))
}
