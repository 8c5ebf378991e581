//! Figures of a PostgreSQL database, of one snapshot and within a bound (docs/adr/0031-bounded-analytics.md).

mod database;
mod figure;
mod statement_shape;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Double, Integer, Text as SqlText, Timestamptz};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use futures_util::TryStreamExt as _;
use lcs_domain::analytics::{LARGEST, UserFigures};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Analytics, AnalyticsRepository, AnalyticsWindow, ConversationStatus, DatabaseStatus, RepositoryError,
    RetentionPolicy,
};
use tokio::time::timeout;

use self::figure::{OfConversations, OfTurns};
use super::Postgres;
use super::connect::Purpose;
use super::error::Fault;
use super::row::no_row;
use super::statement::{Single, statement};

/// How much of each of the two large tables is read, at most.
const BYTES: i64 = 64 << 20;
/// How many users are counted, at most.
const USERS: i64 = 100_000;
/// How long one statement may take: the server ends it then.
const STATEMENT_SECONDS: u64 = 20;
/// How long all of them may take together.
const LIMIT: Duration = Duration::from_mins(1);

/// Reads only, sees one moment, and ends by itself.
fn begin() -> String {
    format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '{STATEMENT_SECONDS}s'"
    )
}

statement! {
    /// What is read of the tables.
    Bounds(include_str!("analytics/bounds.sql")) -> (Timestamptz, Double, Double) {
        bytes: i64 as BigInt,
    }
}

statement! {
    /// Figures of the conversations.
    Conversations(include_str!("analytics/conversations.sql")) -> SqlText {
        percent: f64 as Double,
        since: DateTime<Utc> as Timestamptz,
        until: DateTime<Utc> as Timestamptz,
        active_seconds: f64 as Double,
        archived_seconds: f64 as Double,
        deleted_seconds: f64 as Double,
        largest: i64 as BigInt,
    }
}

statement! {
    /// Figures of the turns.
    Turns(include_str!("analytics/turns.sql")) -> SqlText {
        percent: f64 as Double,
        since: DateTime<Utc> as Timestamptz,
        until: DateTime<Utc> as Timestamptz,
    }
}

statement! {
    /// How many users there are.
    Users(include_str!("analytics/users.sql")) -> (BigInt, BigInt) {
        since_hour: i32 as Integer,
        limit: i64 as BigInt,
    }
}

/// A connection of its own on which one snapshot is looked at.
struct Look(AsyncPgConnection);

impl Look {
    /// The row that a statement gives.
    async fn one<U: Send + 'static>(&self, query: &impl Single<U>) -> RepositoryResult<U> {
        self.all(query).await?.into_iter().next().ok_or_else(no_row)
    }

    /// The rows that a statement gives.
    async fn all<U: Send + 'static>(&self, query: &impl Single<U>) -> RepositoryResult<Vec<U>> {
        let fault = |error| Fault::from(error).into_error();
        query.send(&self.0).await.map_err(fault)?.try_collect().await.map_err(fault)
    }

    /// Ends the look: the server would else note that somebody left in the middle of a transaction.
    async fn end(mut self) {
        if self.0.batch_execute("COMMIT").await.is_err() {
            tracing::debug!("a look at figures was not ended");
        }
    }
}

#[async_trait]
impl AnalyticsRepository for Postgres {
    #[tracing::instrument(name = "db.analytics.analyze", skip_all, fields(days = window.days()))]
    async fn analyze(&self, window: AnalyticsWindow, policy: RetentionPolicy) -> RepositoryResult<Analytics> {
        self.require_all_rows().await?;
        within(async {
            let look = self.look().await?;
            let bounds: (DateTime<Utc>, f64, f64) = look.one(&Bounds { bytes: BYTES }).await?;
            let (now, of_conversations, of_turns) = bounds;
            let (since, until) = (window.since(now), window.until(now));
            let conversations = Conversations {
                percent: of_conversations,
                since,
                until,
                active_seconds: policy.idle(ConversationStatus::Active).as_secs_f64(),
                archived_seconds: policy.idle(ConversationStatus::Archived).as_secs_f64(),
                deleted_seconds: policy.idle(ConversationStatus::Deleted).as_secs_f64(),
                largest: i64::try_from(LARGEST).unwrap_or_default(),
            };
            let conversations: String = look.one(&conversations).await?;
            let turns: String = look.one(&Turns { percent: of_turns, since, until }).await?;
            let since_hour = i32::try_from(since.timestamp() / 3_600).unwrap_or(i32::MAX);
            let users: (i64, i64) = look.one(&Users { since_hour, limit: USERS }).await?;
            look.end().await;
            let users = UserFigures {
                total: users.0.unsigned_abs(),
                active: users.1.unsigned_abs(),
                at_least: users.0 >= USERS,
            };
            let conversations = OfConversations::read(&conversations, of_conversations)?;
            let turns = OfTurns::read(&turns, of_turns)?;
            Ok(figure::analytics(window, policy, now, conversations, turns, users))
        })
        .await
    }

    #[tracing::instrument(name = "db.analytics.database_status", skip_all)]
    async fn database_status(&self) -> RepositoryResult<DatabaseStatus> {
        let namespace = self.pool().connector().config().namespace.clone();
        within(async {
            let look = self.look().await?;
            let status = database::status(&look, namespace).await?;
            // The last of this transaction: where it fails, the rest is known.
            let statements = database::statements(&look).await;
            look.end().await;
            let statements = match statements {
                Ok(statements) => statements,
                Err(error) => {
                    tracing::debug!(%error, "pg_stat_statements cannot be read");
                    None
                }
            };
            Ok(DatabaseStatus { statements, ..status })
        })
        .await
    }
}

impl Postgres {
    async fn look(&self) -> RepositoryResult<Look> {
        let session = self.pool().own_session(&mut self.tries(Purpose::Maintenance)).await?;
        let mut connection = session.into_connection();
        connection.batch_execute(&begin()).await.map_err(|error| Fault::from(error).into_error())?;
        Ok(Look(connection))
    }
}

async fn within<T>(look: impl Future<Output = RepositoryResult<T>> + Send) -> RepositoryResult<T> {
    timeout(LIMIT, look).await.unwrap_or_else(|_| {
        Err(RepositoryError::Overloaded { reason: format!("the figures took longer than {LIMIT:?}") })
    })
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;
    use crate::postgres::PostgresConfig;
    use crate::testing::TestPostgres;

    #[tokio::test]
    async fn of_a_table_that_is_larger_than_the_bound_a_part_is_read_however_small() {
        let database = TestPostgres::migrated().await;
        let insert = "INSERT INTO conversations (conversation_id, user_id, agent_id, model_id)
            SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'm' FROM generate_series(1, 1000)";
        database.execute(insert).await;
        let store = Postgres::connect(PostgresConfig::from_url(database.url()).unwrap()).await.unwrap();
        let look = store.look().await.unwrap();
        let bounds: (DateTime<Utc>, f64, f64) = look.one(&Bounds { bytes: 500 }).await.unwrap();
        // Less than one in a hundred, and more than none; of an empty table, all.
        assert!(bounds.1 > 0.0 && bounds.1 < 1.0, "{bounds:?}");
        assert!((bounds.2 - 100.0).abs() < f64::EPSILON, "{bounds:?}");
        look.end().await;
    }
}
