//! A list of summaries: one statement, whose rows are handed on while they come.
//!
//! The statement's own time limit bounds how long a list may hold its connection, however it is read.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{
    Array, BigInt, Integer, Jsonb, Nullable, Text as SqlText, Timestamptz, Uuid as SqlUuid,
};
use futures_util::stream::BoxStream;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{ConversationSummary, ListSummaries, SearchConversations, UserId};
use tokio::time::Instant;
use uuid::Uuid;

use super::storable;
use crate::postgres::Postgres;
use crate::postgres::connect::Purpose;
use crate::postgres::error::Fault;
use crate::postgres::json::Json;
use crate::postgres::statement::statement;
use crate::row::SummaryRecord;
use crate::stream::{Rows, streamed};

statement! {
    /// A user's conversations with their last turns' metadata.
    Summaries(include_str!("summaries.sql")) -> (
        SqlUuid,
        Nullable<SqlText>,
        Timestamptz,
        Timestamptz,
        SqlText,
        SqlText,
        Integer,
        Nullable<Jsonb>,
        Nullable<SqlText>,
    ) {
        user_id: Uuid as SqlUuid,
        updated_at: Option<DateTime<Utc>> as Nullable<Timestamptz>,
        conversation_id: Option<Uuid> as Nullable<SqlUuid>,
        limit: Option<i64> as Nullable<BigInt>,
    }
}

statement! {
    /// A user's conversations with certain words.
    Search(include_str!("search.sql")) -> (
        SqlUuid,
        Nullable<SqlText>,
        Timestamptz,
        Timestamptz,
        SqlText,
        SqlText,
        Integer,
        Nullable<Jsonb>,
        Nullable<SqlText>,
    ) {
        user_id: Uuid as SqlUuid,
        words: String as SqlText,
        updated_at: Option<DateTime<Utc>> as Nullable<Timestamptz>,
        conversation_id: Option<Uuid> as Nullable<SqlUuid>,
        limit: i64 as BigInt,
        patterns: Vec<String> as Array<SqlText>,
    }
}

#[derive(Queryable)]
struct SummaryRow {
    conversation_id: Uuid,
    external_id: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    status: String,
    model_id: String,
    turn_count: i32,
    last_turn: Option<Json>,
    topic_summary: Option<String>,
}

impl From<SummaryRow> for SummaryRecord {
    fn from(row: SummaryRow) -> Self {
        Self {
            conversation_id: row.conversation_id,
            external_id: row.external_id,
            created_at: row.created_at,
            updated_at: row.updated_at,
            status: row.status,
            model_id: row.model_id,
            turn_count: row.turn_count,
            last_turn: row.last_turn.map(|json| json.0),
            topic_summary: row.topic_summary,
        }
    }
}

/// A regular expression for these words, one behind the other. They are letters and digits: nothing in them stands for
/// anything else.
fn pattern(words: &[String]) -> String {
    format!("(^|[^[:alnum:]]){}($|[^[:alnum:]])", words.join("[^[:alnum:]]+"))
}

impl Postgres {
    pub(super) fn stream_summaries(
        &self,
        user_id: UserId,
        list: ListSummaries,
    ) -> BoxStream<'static, RepositoryResult<ConversationSummary>> {
        let query = Summaries {
            user_id: user_id.into(),
            updated_at: list.after.map(|after| storable(after.updated_at)),
            conversation_id: list.after.map(|after| after.conversation_id.into()),
            limit: list.limit.map(i64::from),
        };
        let store = self.clone();
        streamed(tracing::info_span!("db.conversation.summaries", %user_id), move |mut rows| async move {
            store.hand_on(user_id, &query, &mut rows).await
        })
    }

    pub(super) async fn find(
        &self,
        user_id: UserId,
        search: SearchConversations,
    ) -> RepositoryResult<Vec<ConversationSummary>> {
        let query = Search {
            user_id: user_id.into(),
            words: search.query.to_string(),
            updated_at: search.after.map(|after| storable(after.updated_at)),
            conversation_id: search.after.map(|after| after.conversation_id.into()),
            limit: search.limit.into(),
            patterns: search.query.written().iter().map(|words| pattern(words)).collect(),
        };
        let rows: Vec<SummaryRow> = self.read(user_id, &query).await?;
        rows.into_iter().map(|row| SummaryRecord::from(row).try_into()).collect()
    }

    /// Hands the rows on, from a new connection where the first one dies before it gives any.
    async fn hand_on(
        &self,
        user_id: UserId,
        query: &Summaries,
        rows: &mut Rows<ConversationSummary>,
    ) -> RepositoryResult<()> {
        let query = self.on_behalf_of(user_id, query);
        let mut tries = self.tries(Purpose::Service);
        let mut newer_than = None;
        loop {
            let mut lease = self.pool().lease(Purpose::Service, newer_than, &mut tries).await?;
            let convert = |row: SummaryRow| SummaryRecord::from(row).try_into();
            let ended = lease.session().hand_on(&query, rows, convert).await;
            drop(lease);
            match ended {
                Err(Fault::Lost(reason))
                    if !rows.is_begun() && tries.run_again(self.pool().budget()).await =>
                {
                    tracing::debug!(reason, "the statement is run again on a new connection");
                    newer_than = Some(Instant::now());
                }
                ended => return ended.map_err(Fault::into_error),
            }
        }
    }
}
