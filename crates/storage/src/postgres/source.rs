//! Other systems' tables in PostgreSQL.

mod langgraph;
mod lcs_metadata;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text as SqlText, Timestamp, Timestamptz};
use futures_util::stream::BoxStream;
use lcs_domain::RepositoryError;
use lcs_domain::repository::RepositoryResult;

use super::Postgres;
use super::connect::Purpose;
use super::error::Fault;
use super::statement::statement;
use super::transfer::{Begin, Commit, wait_for_reader};
use crate::source::LcsCacheRow;
use crate::stream::{OPERATORS_PATIENCE, Rows, streamed_for};

/// How many rows one statement reads.
const ROWS: i64 = 500;

statement! {
    /// Whether the tables are there, and the time zone that the server's clock has for this role and database: the
    /// session's own is UTC, which the driver sets.
    LcsCacheThere(
        "SELECT to_regclass('cache') IS NOT NULL AND to_regclass('conversations') IS NOT NULL, \
                (SELECT reset_val FROM pg_settings WHERE name = 'TimeZone')"
    ) -> (Bool, SqlText) {}
}

statement! {
    /// The next rows of LCS's conversation cache.
    LcsCache(include_str!("source/lcs_cache.sql")) -> (
        SqlText,
        SqlText,
        Timestamp,
        Timestamptz,
        Nullable<SqlText>,
        Nullable<SqlText>,
        Nullable<SqlText>,
        Nullable<SqlText>,
        Nullable<SqlText>,
        Nullable<SqlText>,
        Nullable<SqlText>,
        Nullable<SqlText>,
        Nullable<SqlText>,
        Nullable<SqlText>,
        Nullable<Timestamptz>,
    ) {
        time_zone: String as SqlText,
        user_id: String as SqlText,
        conversation_id: String as SqlText,
        created_at: NaiveDateTime as Timestamp,
        limit: i64 as BigInt,
    }
}

#[derive(Queryable)]
struct Row {
    user_id: String,
    conversation_id: String,
    written_at: NaiveDateTime,
    created_at: DateTime<Utc>,
    started_at: Option<String>,
    completed_at: Option<String>,
    query: Option<String>,
    response: Option<String>,
    provider: Option<String>,
    model: Option<String>,
    referenced_documents: Option<String>,
    tool_calls: Option<String>,
    tool_results: Option<String>,
    topic_summary: Option<String>,
    last_message_at: Option<DateTime<Utc>>,
}

impl From<Row> for LcsCacheRow {
    fn from(row: Row) -> Self {
        Self {
            user_id: row.user_id,
            conversation_id: row.conversation_id,
            created_at: row.created_at,
            written_at: row.written_at,
            started_at: row.started_at,
            completed_at: row.completed_at,
            query: row.query,
            response: row.response,
            provider: row.provider,
            model: row.model,
            referenced_documents: row.referenced_documents,
            tool_calls: row.tool_calls,
            tool_results: row.tool_results,
            topic_summary: row.topic_summary,
            last_message_at: row.last_message_at,
        }
    }
}

impl Postgres {
    /// The rows of LCS's conversation cache in this database, in the configured schema.
    ///
    /// LCS writes times without a zone, by the server's clock: they are read as of `time_zone`, or else of the one
    /// that the server has for this role.
    ///
    /// # Errors
    /// `Invalid` where the tables are not there.
    #[must_use]
    pub fn lcs_cache(&self, time_zone: Option<String>) -> BoxStream<'static, RepositoryResult<LcsCacheRow>> {
        let store = self.clone();
        let span = tracing::info_span!("source.lcs_cache");
        streamed_for(OPERATORS_PATIENCE, span, move |mut rows| async move {
            store.lcs_cache_to(time_zone, &mut rows).await.map_err(Fault::into_error)
        })
    }

    async fn lcs_cache_to(
        &self,
        time_zone: Option<String>,
        rows: &mut Rows<LcsCacheRow>,
    ) -> Result<(), Fault> {
        let mut session = self.pool().own_session(&mut self.tries(Purpose::Maintenance)).await?;
        session.load::<i32>(&Begin {}).await?;
        wait_for_reader(&mut session).await?;
        let there = session.load::<(bool, String)>(&LcsCacheThere {}).await?.into_iter().next();
        let Some((true, servers_zone)) = there else {
            let reason = "there are no tables cache and conversations of LCS's: name their schema, as in \
                          postgres://…?namespace=lightspeed";
            return Err(RepositoryError::invalid("", reason).into());
        };
        let mut page = LcsCache {
            time_zone: time_zone.unwrap_or(servers_zone),
            user_id: String::new(),
            conversation_id: String::new(),
            // Before all that LCS can have written.
            created_at: NaiveDate::from_ymd_opt(1, 1, 1).unwrap_or_default().into(),
            limit: ROWS,
        };
        loop {
            let read = session.load::<Row>(&page).await?;
            let Some(last) = read.last() else { break };
            page.user_id.clone_from(&last.user_id);
            page.conversation_id.clone_from(&last.conversation_id);
            page.created_at = last.written_at;
            for row in read {
                if !rows.send(row.into()).await? {
                    return Ok(());
                }
            }
        }
        session.load::<i32>(&Commit {}).await?;
        Ok(())
    }
}
