//! LCS's metadata of conversations and turns.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Nullable, Text as SqlText, Timestamptz};
use futures_util::stream::BoxStream;
use lcs_domain::RepositoryError;
use lcs_domain::repository::RepositoryResult;

use super::ROWS;
use crate::postgres::Postgres;
use crate::postgres::connect::Purpose;
use crate::postgres::error::Fault;
use crate::postgres::statement::statement;
use crate::postgres::transfer::{Begin, Commit, wait_for_reader};
use crate::source::{LcsMetadataRow, LcsTurn};
use crate::stream::{OPERATORS_PATIENCE, Rows, streamed_for};

statement! {
    /// Whether the tables are there.
    There(
        "SELECT to_regclass('user_conversation') IS NOT NULL AND to_regclass('user_turn') IS NOT NULL"
    ) -> Bool {}
}

statement! {
    /// The next rows.
    Metadata(include_str!("lcs_metadata.sql")) -> (
        SqlText,
        SqlText,
        Nullable<SqlText>,
        Nullable<Timestamptz>,
        Nullable<Timestamptz>,
        Nullable<SqlText>,
        BigInt,
        Nullable<Timestamptz>,
        Nullable<Timestamptz>,
        Nullable<SqlText>,
        Nullable<SqlText>,
    ) {
        conversation_id: String as SqlText,
        turn_number: i64 as BigInt,
        limit: i64 as BigInt,
    }
}

#[derive(Queryable)]
struct Row {
    conversation_id: String,
    user_id: String,
    last_used_model: Option<String>,
    created_at: Option<DateTime<Utc>>,
    last_message_at: Option<DateTime<Utc>>,
    topic_summary: Option<String>,
    turn_number: i64,
    started_at: Option<DateTime<Utc>>,
    completed_at: Option<DateTime<Utc>>,
    provider: Option<String>,
    model: Option<String>,
}

impl From<Row> for LcsMetadataRow {
    fn from(row: Row) -> Self {
        Self {
            conversation_id: row.conversation_id,
            user_id: row.user_id,
            model: row.last_used_model.unwrap_or_default(),
            created_at: row.created_at,
            last_message_at: row.last_message_at,
            topic_summary: row.topic_summary.unwrap_or_default(),
            turn: (row.turn_number > 0).then(|| LcsTurn {
                turn_number: row.turn_number,
                started_at: row.started_at,
                completed_at: row.completed_at,
                provider: row.provider.unwrap_or_default(),
                model: row.model.unwrap_or_default(),
            }),
        }
    }
}

impl Postgres {
    /// What LCS's `user_conversation` and `user_turn` say, in the configured schema.
    ///
    /// # Errors
    /// `Invalid` where the tables are not there.
    #[must_use]
    pub fn lcs_metadata(&self) -> BoxStream<'static, RepositoryResult<LcsMetadataRow>> {
        let store = self.clone();
        let span = tracing::info_span!("source.lcs_metadata");
        streamed_for(OPERATORS_PATIENCE, span, move |mut rows| async move {
            store.lcs_metadata_to(&mut rows).await.map_err(Fault::into_error)
        })
    }

    async fn lcs_metadata_to(&self, rows: &mut Rows<LcsMetadataRow>) -> Result<(), Fault> {
        let mut session = self.pool().own_session(&mut self.tries(Purpose::Maintenance)).await?;
        session.load::<i32>(&Begin {}).await?;
        wait_for_reader(&mut session).await?;
        if session.load::<bool>(&There {}).await?.into_iter().next() != Some(true) {
            let reason = "there are no tables user_conversation and user_turn of LCS's: name their schema, as in \
                          postgres://…?namespace=lightspeed";
            return Err(RepositoryError::invalid("", reason).into());
        }
        let mut page = Metadata { conversation_id: String::new(), turn_number: -1, limit: ROWS };
        loop {
            let read = session.load::<Row>(&page).await?;
            let Some(last) = read.last() else { break };
            page.conversation_id.clone_from(&last.conversation_id);
            page.turn_number = last.turn_number;
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
