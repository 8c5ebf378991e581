//! How a database is doing: sizes, indexes, connections, and what its operator has to look at.

mod finding;

use chrono::{DateTime, Utc};
use serde::Serialize;

/// How a database is doing. What a backend does not know is `None`, or an empty list.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct DatabaseStatus {
    /// The backend's name, as in its capabilities.
    pub backend: &'static str,
    /// How large the database is, in bytes.
    pub bytes: Option<u64>,
    /// Its tables, the largest first.
    pub tables: Vec<TableStatus>,
    /// Its indexes, the largest first.
    pub indexes: Vec<IndexStatus>,
    /// Since when the use of tables and indexes is counted; `None`: since the beginning, or not known.
    pub counted_since: Option<DateTime<Utc>>,
    /// The server's connections.
    pub connections: Option<ConnectionStatus>,
    /// How long the oldest transaction runs that this role can see, in seconds; 0 where there is none.
    pub oldest_transaction_seconds: Option<f64>,
    /// How far the server's transaction ids are from running out.
    pub transaction_ids: Option<TransactionIds>,
    /// The statements that took the most time; `None` where nobody counts them.
    pub statements: Option<Vec<StatementStatus>>,
    /// The database's file.
    pub file: Option<FileStatus>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TableStatus {
    /// Its name.
    pub name: String,
    /// How large it is with all that belongs to it, in bytes.
    pub total_bytes: u64,
    /// The rows themselves.
    pub row_bytes: u64,
    /// Values that are too long for their rows.
    pub long_value_bytes: u64,
    /// Its indexes.
    pub index_bytes: u64,
    /// About how many rows it has.
    pub rows: Option<u64>,
    /// About how many removed or replaced rows still take room.
    pub dead_rows: Option<u64>,
    /// When it was last vacuumed, by whomever.
    pub last_vacuum: Option<DateTime<Utc>>,
    /// How often it was read from one end to the other.
    pub sequential_scans: Option<u64>,
}

/// An index.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IndexStatus {
    /// Its name.
    pub name: String,
    /// The table that it is of.
    pub table: String,
    /// How large it is, in bytes.
    pub bytes: u64,
    /// How often it was used.
    pub scans: Option<u64>,
    /// Whether a promise rests on it: it keeps something unique.
    pub is_unique: bool,
    /// About how many of its bytes a new one would not have. Estimated from the number of its entries and how long
    /// they are on average: a B-tree whose pages are nine tenths full.
    pub bloat_bytes: Option<u64>,
}

/// A server's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ConnectionStatus {
    /// Those that there are, of all programs and databases.
    pub used: u32,
    /// Those to this database.
    pub to_this_database: u32,
    /// Those in a transaction in which nothing happens, as far as this role can see.
    pub idle_in_transaction: u32,
    /// How many an ordinary role can have: `max_connections` without those kept for superusers.
    pub max: u32,
}

/// How far a server's transaction ids are from running out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TransactionIds {
    /// The age of the database's oldest unfrozen transaction id.
    pub age: u64,
    /// The age at which the server vacuums on its own to bring it down.
    pub freeze_at: u64,
}

/// A kind of statement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatementStatus {
    /// Its text, without any value, and cut where it is long.
    pub text: String,
    /// How often it was run.
    pub calls: u64,
    /// The time that it took all together, in milliseconds.
    pub total_ms: f64,
    /// The time that it took on average, in milliseconds.
    pub mean_ms: f64,
    /// The longest that it took, in milliseconds.
    pub max_ms: f64,
}

/// A database's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FileStatus {
    /// How large it is, in bytes.
    pub bytes: u64,
    /// How many of them are free pages, which are used again.
    pub free_bytes: u64,
    /// How large the write-ahead log beside it is.
    pub wal_bytes: u64,
}

/// The units that bytes are said in, the largest first.
const UNITS: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];

/// So many bytes, for people: `512 B`, `1.5 GiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    let Some((unit, name)) = UNITS.into_iter().find(|(unit, _)| count >= *unit) else {
        return format!("{count} B");
    };
    #[expect(clippy::cast_precision_loss, reason = "for people, in two digits")]
    let number = count as f64 / unit as f64;
    if number < 10.0 { format!("{number:.1} {name}") } else { format!("{number:.0} {name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_said_the_way_people_say_them() {
        let said = [0, 1_023, 1_024, 1_536, 123_456_789, 5 << 40].map(bytes);
        assert_eq!(said, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "118 MiB", "5.0 TiB"]);
    }
}
