//! How a SQLite file is doing.

use std::collections::BTreeMap;
use std::fs;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;
use lcs_domain::DatabaseStatus;
use lcs_domain::database::{FileStatus, IndexStatus, TableStatus};

use crate::sqlite::error::Failure;

/// Up to which size a file is read page by page, to say what its tables and indexes take.
const READ_BYTES: u64 = 128 << 20;

/// What every table and index takes. A table's rows and their overflow pages are one here.
const OBJECTS: &str = "SELECT s.type, s.name, s.tbl_name, coalesce((SELECT pgsize FROM dbstat d \
                       WHERE d.name = s.name AND d.aggregate = TRUE), 0), \
                       coalesce((SELECT \"unique\" FROM pragma_index_list(s.tbl_name) l WHERE l.name = s.name), 0) \
                       FROM sqlite_schema s WHERE s.type IN ('table', 'index') ORDER BY 4 DESC, 2";

type Object = (String, String, String, i64, i64);

/// What the file takes, but for pages that are free.
pub(super) fn bytes(connection: &mut SqliteConnection) -> Result<i64, Failure> {
    let bytes = "SELECT page_size * (page_count - freelist_count) \
                 FROM pragma_page_size, pragma_page_count, pragma_freelist_count";
    Ok(sql::<BigInt>(bytes).get_result(connection)?)
}

pub(super) fn status(connection: &mut SqliteConnection) -> Result<DatabaseStatus, Failure> {
    let mut number =
        |sql_text: &str| sql::<BigInt>(sql_text).get_result::<i64>(connection).map(i64::unsigned_abs);
    let page = number("SELECT page_size FROM pragma_page_size")?;
    let bytes = page * number("SELECT page_count FROM pragma_page_count")?;
    let free_bytes = page * number("SELECT freelist_count FROM pragma_freelist_count")?;
    let path: String =
        sql::<Text>("SELECT file FROM pragma_database_list WHERE name = 'main'").get_result(connection)?;
    // Without a file, or where nothing was written since it was opened last, there is no log.
    let wal_bytes = fs::metadata(format!("{path}-wal")).map_or(0, |log| log.len());
    let (tables, indexes) = if bytes <= READ_BYTES { objects(connection)? } else { Default::default() };
    Ok(DatabaseStatus {
        backend: "sqlite",
        bytes: Some(bytes),
        tables,
        indexes,
        file: (!path.is_empty()).then_some(FileStatus { bytes, free_bytes, wal_bytes }),
        ..DatabaseStatus::default()
    })
}

fn objects(connection: &mut SqliteConnection) -> Result<(Vec<TableStatus>, Vec<IndexStatus>), Failure> {
    let found: Vec<Object> = sql::<(Text, Text, Text, BigInt, BigInt)>(OBJECTS).load(connection)?;
    let (tables, indexes): (Vec<_>, Vec<_>) = found.into_iter().partition(|(kind, ..)| kind == "table");
    let mut of_indexes: BTreeMap<&str, u64> = BTreeMap::new();
    for (_, _, table, bytes, _) in &indexes {
        *of_indexes.entry(table).or_default() += bytes.unsigned_abs();
    }
    let mut tables: Vec<TableStatus> = tables
        .into_iter()
        .map(|(_, name, _, bytes, _)| {
            let index_bytes = of_indexes.get(name.as_str()).copied().unwrap_or_default();
            let row_bytes = bytes.unsigned_abs();
            TableStatus {
                name,
                total_bytes: row_bytes + index_bytes,
                row_bytes,
                long_value_bytes: 0,
                index_bytes,
                rows: None,
                dead_rows: None,
                last_vacuum: None,
                sequential_scans: None,
            }
        })
        .collect();
    tables.sort_by_key(|table| std::cmp::Reverse(table.total_bytes));
    let indexes = indexes.into_iter().map(|(_, name, table, bytes, is_unique)| IndexStatus {
        name,
        table,
        bytes: bytes.unsigned_abs(),
        scans: None,
        is_unique: is_unique != 0,
        bloat_bytes: None,
    });
    let indexes = indexes.collect();
    Ok((tables, indexes))
}
