//! Looking into conversations in PostgreSQL, whosever they are.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Integer, Nullable, Text as SqlText, Timestamptz, Uuid as SqlUuid};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, BrowseRepository, ConversationId, FindConversations, FoundConversation, FoundConversations,
    OpenedConversation, PageLimit, Remains, RepositoryError, Text, TurnPage, TurnRange, UserId,
};
use uuid::Uuid;

use super::Postgres;
use super::connect::Purpose;
use super::conversation::storable;
use super::error::Fault;
use super::on_behalf::transaction;
use super::operation::Effect;
use super::row::{ColumnsOf, OwnedAgentStateRow, OwnedConversationRow, TurnRow};
use super::statement::{Connection, Single, Statement, statement};
use super::turn::{bounds, page_of_rows};
use crate::row::{AgentStateRecord, ConversationRecord, Row};

/// Reads only, and ends by itself. Planned for what is asked for just now: an id and a user have their indexes.
const LOOKING: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; \
    SET LOCAL statement_timeout = '5s'; SET LOCAL plan_cache_mode = force_custom_plan";

/// A statement that is given some seconds.
pub(super) struct Looking<'q, Q>(pub(super) &'q Q);

impl<Q: Single<U>, U: Send + 'static> Statement<U> for Looking<'_, Q> {
    fn rows<'a>(
        &'a self,
        connection: &'a mut Connection,
    ) -> BoxFuture<'a, QueryResult<BoxStream<'a, QueryResult<U>>>> {
        transaction(LOOKING.to_owned(), self.0, None, connection).boxed()
    }
}

statement! {
    /// A page of what is looked for.
    Find(include_str!("browse/find.sql")) -> (
        SqlUuid, SqlUuid, Nullable<SqlText>, SqlText, Integer, Timestamptz, Timestamptz
    ) {
        first_id: Option<Uuid> as Nullable<SqlUuid>,
        last_id: Option<Uuid> as Nullable<SqlUuid>,
        user_id: Option<Uuid> as Nullable<SqlUuid>,
        topic: Option<String> as Nullable<SqlText>,
        updated_at: Option<DateTime<Utc>> as Nullable<Timestamptz>,
        conversation_id: Option<Uuid> as Nullable<SqlUuid>,
        limit: i64 as BigInt,
    }
}

statement! {
    /// A conversation with its agent's state.
    Open(include_str!("browse/open.sql")) -> (ColumnsOf<OwnedConversationRow>, Nullable<ColumnsOf<OwnedAgentStateRow>>) {
        conversation_id: Uuid as SqlUuid,
    }
}

statement! {
    /// Its head and a range of its turns, in one snapshot.
    Turns(include_str!("browse/turns.sql")) -> (Integer, Nullable<ColumnsOf<TurnRow>>) {
        conversation_id: Uuid as SqlUuid,
        after: Option<i64> as Nullable<BigInt>,
        before: Option<i64> as Nullable<BigInt>,
        limit: i64 as BigInt,
    }
}

statement! {
    /// What is left of one that was purged.
    OfRemains(
        "-- $1 conversation_id\nSELECT reason, at FROM conversation_tombstones WHERE conversation_id = $1"
    ) -> (SqlText, Timestamptz) {
        conversation_id: Uuid as SqlUuid,
    }
}

statement! {
    /// Whose a conversation is.
    Owner("-- $1 conversation_id\nSELECT user_id FROM conversations WHERE conversation_id = $1") -> SqlUuid {
        conversation_id: Uuid as SqlUuid,
    }
}

#[derive(Queryable)]
struct FoundRow {
    conversation_id: Uuid,
    user_id: Uuid,
    topic_summary: Option<String>,
    status: String,
    turn_count: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<FoundRow> for FoundConversation {
    type Error = RepositoryError;

    fn try_from(row: FoundRow) -> Result<Self, RepositoryError> {
        let named = Row { table: "conversations", key: row.conversation_id };
        Ok(Self {
            conversation_id: ConversationId::from_uuid(row.conversation_id),
            user_id: UserId::from_uuid(row.user_id),
            topic_summary: row.topic_summary.map(Text::from_stored),
            status: row.status.parse().map_err(|_| named.inconsistent("status", "not a known status"))?,
            turn_count: named.count("turn_count", row.turn_count)?,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// A pattern for what has `part` in it, which may hold what a pattern gives a meaning.
fn pattern(part: &str) -> String {
    let mut pattern = String::with_capacity(part.len() + 2);
    pattern.push('%');
    for c in part.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

#[async_trait]
impl BrowseRepository for Postgres {
    #[tracing::instrument(name = "db.browse.find_conversations", skip_all)]
    async fn find_conversations(&self, find: FindConversations) -> RepositoryResult<FoundConversations> {
        find.validate()?;
        self.require_all_rows().await?;
        let query = Find {
            first_id: find.id.map(|id| id.first.into()),
            last_id: find.id.map(|id| id.last.into()),
            user_id: find.user_id.map(Uuid::from),
            topic: find.topic.as_deref().map(pattern),
            updated_at: find.after.map(|after| storable(after.updated_at)),
            conversation_id: find.after.map(|after| after.conversation_id.into()),
            limit: i64::from(find.limit.get()) + 1,
        };
        let rows: Vec<FoundRow> = self.look_at(&query).await?;
        let found = rows.into_iter().map(FoundConversation::try_from).collect::<RepositoryResult<_>>()?;
        Ok(FoundConversations::cut(found, find.limit))
    }

    #[tracing::instrument(name = "db.browse.open_conversation", skip_all, fields(%conversation_id))]
    async fn open_conversation(
        &self,
        conversation_id: ConversationId,
    ) -> RepositoryResult<Option<OpenedConversation>> {
        self.require_all_rows().await?;
        let query = Open { conversation_id: conversation_id.into() };
        let rows: Vec<(OwnedConversationRow, Option<OwnedAgentStateRow>)> = self.look_at(&query).await?;
        let Some((conversation, state)) = rows.into_iter().next() else { return Ok(None) };
        Ok(Some(OpenedConversation {
            conversation: ConversationRecord::from(conversation).try_into()?,
            agent_state: state.map(|state| AgentStateRecord::from(state).try_into()).transpose()?,
        }))
    }

    #[tracing::instrument(name = "db.browse.read_turns", skip_all, fields(%conversation_id))]
    async fn read_turns(
        &self,
        conversation_id: ConversationId,
        range: TurnRange,
        limit: PageLimit,
    ) -> RepositoryResult<Option<TurnPage>> {
        self.require_all_rows().await?;
        let (after, before) = bounds(range);
        let conversation = conversation_id.into();
        let query = Turns { conversation_id: conversation, after, before, limit: limit.get().into() };
        page_of_rows(conversation_id, self.look_at(&query).await?)
    }

    #[tracing::instrument(name = "db.browse.find_remains", skip_all, fields(%conversation_id))]
    async fn find_remains(&self, conversation_id: ConversationId) -> RepositoryResult<Option<Remains>> {
        let query = OfRemains { conversation_id: conversation_id.into() };
        let rows: Vec<(String, DateTime<Utc>)> = self.look_at(&query).await?;
        Ok(rows.into_iter().next().map(|(reason, at)| Remains { conversation_id, reason, at }))
    }

    #[tracing::instrument(name = "db.browse.delete_conversation", skip_all, fields(%conversation_id))]
    async fn delete_conversation(
        &self,
        conversation_id: ConversationId,
        by: Actor,
    ) -> RepositoryResult<bool> {
        self.require_all_rows().await?;
        let owner: Vec<Uuid> = self.look_at(&Owner { conversation_id: conversation_id.into() }).await?;
        // It never changes.
        let Some(user_id) = owner.into_iter().next().map(UserId::from_uuid) else { return Ok(false) };
        self.delete_as(user_id, conversation_id, by.as_str().to_owned()).await
    }
}

impl Postgres {
    async fn look_at<U: Send + 'static>(&self, query: &impl Single<U>) -> RepositoryResult<Vec<U>> {
        let answer = self.run(Purpose::Maintenance, Effect::Reads, &Looking(query)).await;
        answer.map(|answer| answer.rows).map_err(Fault::into_error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_finds_what_is_written_and_nothing_by_signs() {
        assert_eq!(pattern(r"50 %_\"), r"%50 \%\_\\%");
        assert_eq!(pattern(""), "%%");
    }
}
