//! The same schema in SQLite, as its pragmas describe it.

use std::sync::Arc;

use diesel::prelude::*;
use diesel::sql_types::{Integer, Text};
use diesel::sqlite::SqliteConnection;
use lcs_domain::SystemClock;
use lcs_storage::migration::Migrations;
use lcs_storage::sqlite::{Sqlite, SqliteConfig};

use crate::expected::{INDEXES, PARTIAL_INDEXES, SQLITE_INDEX, SQLITE_TABLES, TABLES};

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = Integer)]
    count: i32,
}

struct Migrated {
    connection: SqliteConnection,
    _folder: tempfile::TempDir,
}

impl Migrated {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("conversations.db");
        let store = Sqlite::open(SqliteConfig::file(&file), Arc::new(SystemClock)).await.unwrap();
        store.run_pending().await.unwrap();
        drop(store);
        Self { connection: SqliteConnection::establish(file.to_str().unwrap()).unwrap(), _folder: folder }
    }

    fn lines(&mut self, sql: &str) -> Vec<String> {
        let lines: Vec<Line> = diesel::sql_query(sql).load(&mut self.connection).unwrap();
        lines.into_iter().map(|line| line.line).collect()
    }
}

#[tokio::test]
async fn every_column_has_its_type_and_nullability() {
    let mut database = Migrated::new().await;
    let mut expected: Vec<_> = TABLES
        .iter()
        .flat_map(|(table, columns)| columns.iter().map(move |column| (table, column)))
        .map(|(table, (name, _, kind, nullable, default))| {
            // SQLite writes the defaults in its own way: here it counts that both have one.
            format!("{table} | {name} | {kind} | {} | {}", i32::from(*nullable), i32::from(default.is_some()))
        })
        .collect();
    for (table, columns) in SQLITE_TABLES {
        expected.extend(columns.iter().map(|(name, kind)| format!("{table} | {name} | {kind} | 0 | 0")));
    }
    // Stable: a table's columns keep their order.
    expected.sort_by_key(|line| line.split(' ').next().map(str::to_owned));
    let columns = database.lines(
        "SELECT t.name || ' | ' || c.name || ' | ' || c.type || ' | ' || (1 - c.\"notnull\")
                || ' | ' || (c.dflt_value IS NOT NULL) AS line
         FROM pragma_table_list t JOIN pragma_table_info(t.name) c
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name <> '__diesel_schema_migrations' ORDER BY t.name, c.cid",
    );
    assert_eq!(columns, expected);
}

#[tokio::test]
async fn every_index_is_there_and_no_other() {
    let mut database = Migrated::new().await;
    let mut expected: Vec<_> = INDEXES
        .iter()
        .chain([&SQLITE_INDEX])
        .map(|(table, columns, unique)| format!("{table} | {columns} | {}", i32::from(*unique)))
        .collect();
    expected.sort();
    let mut indexes = database.lines(
        "SELECT t.name || ' | ' || (SELECT group_concat(c.name, ', ') FROM pragma_index_info(i.name) c)
                || ' | ' || i.\"unique\" AS line
         FROM pragma_table_list t JOIN pragma_index_list(t.name) i
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name <> '__diesel_schema_migrations'",
    );
    indexes.sort();
    assert_eq!(indexes, expected);
    let partial = "SELECT i.name AS line FROM pragma_table_list t JOIN pragma_index_list(t.name) i WHERE i.partial \
         ORDER BY 1";
    assert_eq!(database.lines(partial), PARTIAL_INDEXES);
}

#[tokio::test]
async fn turns_and_states_go_with_their_conversation_and_every_table_is_strict() {
    let mut database = Migrated::new().await;
    let keys = database.lines(
        "SELECT t.name || '.' || k.\"from\" || ' -> ' || k.\"table\" || '.' || k.\"to\" || ' ' || k.on_delete AS line
         FROM pragma_table_list t JOIN pragma_foreign_key_list(t.name) k ORDER BY 1",
    );
    assert_eq!(
        keys,
        [
            "agent_states.conversation_id -> conversations.conversation_id CASCADE",
            "conversation_turns.conversation_id -> conversations.conversation_id CASCADE",
            "restorations.conversation_id -> conversations.conversation_id CASCADE",
        ]
    );
    let strict = "SELECT count(*) AS count FROM pragma_table_list WHERE strict";
    let strict: Count = diesel::sql_query(strict).get_result(&mut database.connection).unwrap();
    assert_eq!(usize::try_from(strict.count).unwrap(), TABLES.len() + SQLITE_TABLES.len());
}
