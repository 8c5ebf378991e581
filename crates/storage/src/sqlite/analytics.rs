//! Figures of a SQLite file: every row of a small table, and of a large one each n-th, for a minute at most.

mod database;

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::connection::DefaultLoadingMode;
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use lcs_domain::analytics::{ConversationFact, Tally, TurnFact, UserFigures};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Analytics, AnalyticsRepository, AnalyticsWindow, ConversationId, DatabaseStatus, Metadata,
    RepositoryError, RetentionPolicy, UserId,
};
use tokio::time::Instant;

use super::Sqlite;
use super::error::Failure;
use super::row::{Cell, Reader};

/// How many rows of a table are looked at, at most.
const ROWS: i64 = 100_000;
/// How many rows of turns are read at least, however large they are: by the mean of all that is in the file, they may
/// seem larger than they are.
const FEWEST: i64 = 1_000;

/// How many bytes of turns are read, at most, by what one takes in the mean. What is looked at of a turn stands behind what
/// was said in it, which SQLite reads to get there.
const BYTES: i64 = 256 << 20;

/// How long all of it may take.
const LIMIT: Duration = Duration::from_mins(1);

/// Which rows of a table are looked at: each `step`-th row number from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sample {
    first: i64,
    last: i64,
    step: i64,
}

impl Sample {
    /// Which rows are looked at, of a table whose rows take `bytes` together, where that matters.
    fn of(table: &str, bytes: Option<i64>, connection: &mut SqliteConnection) -> Result<Self, Failure> {
        let end = |which: &str, connection: &mut SqliteConnection| {
            // Each by itself: for one of them SQLite goes straight to that end of the table.
            sql::<Nullable<BigInt>>(&format!("SELECT {which}(rowid) FROM {table}"))
                .get_result::<Option<i64>>(connection)
        };
        let first = end("min", connection)?.unwrap_or_default();
        let last = end("max", connection)?.unwrap_or_default();
        let most = bytes.map_or(ROWS, |bytes| rows_within(BYTES, bytes, last.saturating_sub(first)));
        Ok(Self::between(first, last, most))
    }

    fn between(first: i64, last: i64, rows: i64) -> Self {
        let numbers = last.saturating_sub(first).saturating_add(1);
        let step = numbers / rows + i64::from(numbers % rows > 0);
        Self { first, last, step: step.max(1) }
    }

    /// The share of the table that is looked at.
    fn share(self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a share")]
        let share = 1.0 / self.step as f64;
        share
    }

    /// `SELECT columns FROM table`, of these rows.
    fn select(self, columns: &str, table: &str) -> String {
        let Self { first, last, step } = self;
        if step == 1 {
            return format!("SELECT {columns} FROM {table}");
        }
        format!(
            "WITH RECURSIVE pick(number) AS (VALUES({first}) \
             UNION ALL SELECT number + {step} FROM pick WHERE number + {step} <= {last}) \
             SELECT {columns} FROM pick CROSS JOIN {table} ON {table}.rowid = pick.number"
        )
    }
}

/// How many of so many rows, and no fewer than a thousand, which take `bytes` together, are read for no more than `most` bytes.
fn rows_within(most: i64, bytes: i64, rows: i64) -> i64 {
    let mean = (bytes / rows.max(1)).max(1);
    (most / mean).clamp(FEWEST.min(ROWS), ROWS)
}

/// Refuses to go on behind `end`.
fn within(end: Instant) -> Result<(), Failure> {
    if Instant::now() > end {
        let reason = format!("the figures took longer than {LIMIT:?}");
        return Err(RepositoryError::Overloaded { reason }.into());
    }
    Ok(())
}

/// The users of the conversations that were looked at, and whether one of theirs changed in the window.
type Users = HashMap<UserId, bool>;

fn conversations(
    connection: &mut SqliteConnection,
    sample: Sample,
    since: DateTime<Utc>,
    tally: &mut Tally,
    end: Instant,
) -> Result<Users, Failure> {
    type Columns = (Binary, Binary, Text, BigInt, BigInt, BigInt);
    type Row = (Cell<Vec<u8>>, Cell<Vec<u8>>, Cell<String>, Cell<i64>, Cell<i64>, Cell<i64>);
    let columns = "conversation_id, user_id, status, created_at, updated_at, turn_count";
    let query = sql::<Columns>(&sample.select(columns, "conversations"));
    let mut users = Users::new();
    for row in query.load_iter::<Row, DefaultLoadingMode>(connection)? {
        within(end)?;
        let (key, user_id, status, created_at, updated_at, turn_count) = row?;
        let reader = Reader::new("conversations", "conversation_id", key)?;
        let fact = ConversationFact {
            conversation_id: ConversationId::from_uuid(reader.key()),
            user_id: UserId::from_uuid(reader.uuid("user_id", user_id)?),
            status: reader.parsed("status", status)?,
            created_at: reader.time("created_at", created_at)?,
            updated_at: reader.time("updated_at", updated_at)?,
            turn_count: reader.count("turn_count", turn_count)?,
        };
        *users.entry(fact.user_id).or_default() |= fact.updated_at >= since;
        tally.conversation(&fact);
    }
    Ok(users)
}

fn turns(
    connection: &mut SqliteConnection,
    sample: Sample,
    tally: &mut Tally,
    end: Instant,
) -> Result<(), Failure> {
    type Columns = (Binary, BigInt, BigInt, Text);
    type Row = (Cell<Vec<u8>>, Cell<i64>, Cell<i64>, Cell<String>);
    let columns = "turn_id, started_at, completed_at, metadata";
    let query = sql::<Columns>(&sample.select(columns, "conversation_turns"));
    for row in query.load_iter::<Row, DefaultLoadingMode>(connection)? {
        within(end)?;
        let (key, started_at, completed_at, metadata) = row?;
        let reader = Reader::new("conversation_turns", "turn_id", key)?;
        tally.turn(&TurnFact {
            started_at: reader.time("started_at", started_at)?,
            completed_at: reader.time("completed_at", completed_at)?,
            metadata: Metadata::from_stored(reader.object("metadata", metadata)?),
        });
    }
    Ok(())
}

#[async_trait]
impl AnalyticsRepository for Sqlite {
    #[tracing::instrument(name = "db.analytics.analyze", skip_all, fields(days = window.days()))]
    async fn analyze(&self, window: AnalyticsWindow, policy: RetentionPolicy) -> RepositoryResult<Analytics> {
        let now = self.database.now();
        self.database
            .read_snapshot(move |connection| {
                let mut tally = Tally::new(window, policy, now);
                let end = Instant::now() + LIMIT;
                let of_conversations = Sample::of("conversations", None, connection)?;
                // Nearly all of a file is what was said in turns.
                let of_turns =
                    Sample::of("conversation_turns", Some(database::bytes(connection)?), connection)?;
                let users = conversations(connection, of_conversations, window.since(now), &mut tally, end)?;
                turns(connection, of_turns, &mut tally, end)?;
                let active = users.values().filter(|is_active| **is_active).count() as u64;
                let at_least = of_conversations.step > 1;
                let users = UserFigures { total: users.len() as u64, active, at_least };
                Ok(tally.finish(of_conversations.share(), of_turns.share(), users))
            })
            .await
    }

    #[tracing::instrument(name = "db.analytics.database_status", skip_all)]
    async fn database_status(&self) -> RepositoryResult<DatabaseStatus> {
        self.database.read(database::status).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_no_more_rows_than_it_may_and_a_small_table_is_whole() {
        for (first, last, step) in
            [(0, 0, 1), (1, 10, 1), (1, 11, 2), (5, 104, 10), (i64::MIN, i64::MAX, i64::MAX / 10 + 1)]
        {
            let sample = Sample::between(first, last, 10);
            assert_eq!(sample.step, step, "{sample:?}");
        }
    }

    #[test]
    fn of_long_turns_fewer_are_looked_at_and_of_any_a_thousand() {
        for (bytes, rows, expected) in [
            (0, 0, ROWS),
            (4 << 10, 2, ROWS),
            // A gigabyte of turns of a kilobyte: more than may be looked at.
            (1 << 30, 1 << 20, ROWS),
            // Of sixteen kilobytes, and of a megabyte.
            (1 << 30, 1 << 16, 1 << 14),
            (1 << 30, 1 << 10, FEWEST),
            (i64::MAX, 1, FEWEST),
            (1, i64::MAX, ROWS),
        ] {
            assert_eq!(rows_within(BYTES, bytes, rows), expected, "{bytes} {rows}");
        }
    }

    #[test]
    fn figures_end() {
        assert!(within(Instant::now() + LIMIT).is_ok());
        assert!(within(Instant::now().checked_sub(Duration::from_secs(1)).unwrap()).is_err());
    }

    #[test]
    fn a_sample_is_read_row_by_row_and_not_by_going_through_the_table() {
        let mut connection = SqliteConnection::establish(":memory:").unwrap();
        diesel::sql_query("CREATE TABLE t (a BLOB PRIMARY KEY)").execute(&mut connection).unwrap();
        diesel::sql_query(
            "INSERT INTO t SELECT value FROM (WITH RECURSIVE n(value) AS (VALUES(1) \
             UNION ALL SELECT value + 1 FROM n WHERE value < 100) SELECT value FROM n)",
        )
        .execute(&mut connection)
        .unwrap();
        let query = Sample::between(1, 100, 25).select("a", "t");
        let rows: Vec<i64> = sql::<BigInt>(&query).load(&mut connection).unwrap();
        assert_eq!((rows.len(), rows[1]), (25, 5));
        let plan = sql::<(BigInt, BigInt, BigInt, Text)>(&format!("EXPLAIN QUERY PLAN {query}"));
        let plan: Vec<(i64, i64, i64, String)> = plan.load(&mut connection).unwrap();
        let plan: Vec<&str> = plan.iter().map(|row| row.3.as_str()).collect();
        assert!(plan.contains(&"SEARCH t USING INTEGER PRIMARY KEY (rowid=?)"), "{plan:?}");
    }
}
