//! Export and import in PostgreSQL, on connections of their own, with the time limit of maintenance.

mod columns;
mod export;
mod import;
mod restore;

pub(super) use self::export::wait_for_reader;
pub(super) use self::restore::Origin;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text as SqlText, Timestamptz, Uuid as SqlUuid};
use futures_util::stream::BoxStream;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::{ExportFilter, Exported, Imported, IncomingConversation, IncomingHead};
use lcs_domain::{ConversationId, ConversationStatus, NewTurn, TransferRepository};
use tokio::time::Instant;
use uuid::Uuid;

use super::Postgres;
use super::connect::Purpose;
use super::error::Fault;
use super::operation::{Effect, detached};
use super::row::{OwnedAgentStateRow, OwnedConversationRow};
use super::statement::statement;

statement! {
    /// How many conversations an export takes.
    Count(include_str!("transfer/count.sql")) -> BigInt {
        user_id: Option<Uuid> as Nullable<SqlUuid>,
        changed_from: Option<DateTime<Utc>> as Nullable<Timestamptz>,
        changed_before: Option<DateTime<Utc>> as Nullable<Timestamptz>,
        statuses: Vec<&'static str> as Array<SqlText>,
        conversation_ids: Option<Vec<Uuid>> as Nullable<Array<SqlUuid>>,
    }
}

statement! {
    /// Begins to read, all of one snapshot.
    Begin("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") -> Integer {}
}

statement! {
    /// Begins to write.
    BeginWriting("BEGIN ISOLATION LEVEL READ COMMITTED") -> Integer {}
}

statement! {
    /// Ends what was begun.
    Commit("COMMIT") -> Integer {}
}

/// A conversation with its agent's state.
#[derive(Queryable)]
struct HeadRow {
    conversation: OwnedConversationRow,
    agent_state: Option<OwnedAgentStateRow>,
}

fn uuids(ids: Vec<ConversationId>) -> Vec<Uuid> {
    ids.into_iter().map(Uuid::from).collect()
}

fn words(statuses: &[ConversationStatus]) -> Vec<&'static str> {
    statuses.iter().map(|status| status.as_str()).collect()
}

#[async_trait]
impl TransferRepository for Postgres {
    #[tracing::instrument(name = "db.transfer.count_exported", skip_all)]
    async fn count_exported(&self, filter: ExportFilter) -> RepositoryResult<u64> {
        let query = Count {
            user_id: filter.user_id.map(Uuid::from),
            changed_from: filter.changed_from,
            changed_before: filter.changed_before,
            statuses: words(&filter.statuses),
            conversation_ids: filter.conversation_ids.map(uuids),
        };
        let answer = self.run::<i64>(Purpose::Maintenance, Effect::Reads, &query).await;
        let count = answer.map_err(Fault::into_error)?.one().unwrap_or_default();
        Ok(u64::try_from(count).unwrap_or_default())
    }

    fn export(&self, filter: ExportFilter) -> BoxStream<'static, RepositoryResult<Exported>> {
        self.stream_export(filter)
    }

    #[tracing::instrument(name = "db.transfer.import", skip_all, fields(conversations = conversations.len()))]
    async fn import(
        &self,
        conversations: Vec<IncomingConversation>,
        age: TimeDelta,
    ) -> RepositoryResult<Vec<Imported>> {
        let store = self.clone();
        let began = self.ago(Purpose::Maintenance, age, Instant::now()).await?;
        detached(Uuid::nil(), async move { store.import_all(&conversations, began).await }).await
    }

    #[tracing::instrument(
        name = "db.transfer.import_long",
        skip_all,
        fields(conversation_id = %head.conversation.conversation_id)
    )]
    async fn import_long(
        &self,
        head: IncomingHead,
        turns: BoxStream<'static, RepositoryResult<NewTurn>>,
        age: TimeDelta,
    ) -> RepositoryResult<Imported> {
        let began = self.ago(Purpose::Maintenance, age, Instant::now()).await?;
        self.import_piece_by_piece(head, turns, began).await
    }
}
