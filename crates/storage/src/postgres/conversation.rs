//! Conversations in PostgreSQL.

mod adopt;
mod create;
mod late;
mod summary;

pub(super) use self::create::Creation;

use async_trait::async_trait;
use chrono::{DateTime, Datelike, Utc};
use diesel::prelude::*;
use diesel::sql_types::{
    BigInt, Bool, Bytea, Jsonb, Nullable, Text as SqlText, Timestamptz, Uuid as SqlUuid,
};
use futures_util::stream::BoxStream;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, Conversation, ConversationId, ConversationPage, ConversationRepository, ConversationStatus,
    ConversationSummary, ConversationUpdate, Durability, Entity, Head, ListConversations, ListSummaries,
    NewConversation, NewTurn, RepositoryError, SearchConversations, Text, UserId,
};
use uuid::Uuid;

use super::Postgres;
use super::error::Fault;
use super::json::Json;
use super::operation::detached;
use super::retry::outcome_unknown;
use super::row::{ColumnsOf, ConversationRow};
use super::schema::conversations;
use super::statement::statement;
use crate::row::Row;
use crate::tombstone::user_hash;

statement! {
    /// Changes a conversation, or gives no row.
    Update(include_str!("conversation/update.sql")) -> ColumnsOf<ConversationRow> {
        user_id: Uuid as SqlUuid,
        conversation_id: Uuid as SqlUuid,
        changes_summary: bool as Bool,
        topic_summary: Option<String> as Nullable<SqlText>,
        status: Option<&'static str> as Nullable<SqlText>,
        metadata: Option<Json> as Nullable<Jsonb>,
        expected_updated_at: Option<DateTime<Utc>> as Nullable<Timestamptz>,
    }
}

statement! {
    /// Deletes a conversation, or gives no row.
    Delete(include_str!("conversation/delete.sql")) -> SqlUuid {
        user_id: Uuid as SqlUuid,
        conversation_id: Uuid as SqlUuid,
        actor: String as SqlText,
    }
}

statement! {
    /// Whether a conversation is deleted.
    Deleted(include_str!("conversation/deleted.sql")) -> Bool {
        user_id: Uuid as SqlUuid,
        conversation_id: Uuid as SqlUuid,
        user_hash: Vec<u8> as Bytea,
    }
}

statement! {
    /// Whether a conversation was deleted or purged.
    WasDeleted(include_str!("conversation/was_deleted.sql")) -> Bool {
        user_id: Uuid as SqlUuid,
        conversation_id: Uuid as SqlUuid,
        user_hash: Vec<u8> as Bytea,
    }
}

statement! {
    /// A page of a user's conversations.
    List(include_str!("conversation/list.sql")) -> ColumnsOf<ConversationRow> {
        user_id: Uuid as SqlUuid,
        updated_at: Option<DateTime<Utc>> as Nullable<Timestamptz>,
        conversation_id: Option<Uuid> as Nullable<SqlUuid>,
        status: Option<&'static str> as Nullable<SqlText>,
        limit: i64 as BigInt,
    }
}

#[async_trait]
impl ConversationRepository for Postgres {
    #[tracing::instrument(
        name = "db.conversation.create",
        skip_all,
        fields(%user_id, conversation_id = %new.conversation_id)
    )]
    async fn create(&self, user_id: UserId, new: NewConversation) -> RepositoryResult<Conversation> {
        new.validate()?;
        self.create_conversation(user_id, new).await
    }

    #[tracing::instrument(
        name = "db.conversation.adopt",
        skip_all,
        fields(%user_id, conversation_id = %new.conversation_id, turns = turns.len())
    )]
    async fn adopt(
        &self,
        user_id: UserId,
        new: NewConversation,
        turns: Vec<NewTurn>,
    ) -> RepositoryResult<Conversation> {
        new.validate()?;
        NewTurn::refuse_repeated(&turns)?;
        let store = self.operation();
        let key = new.conversation_id.into();
        detached(key, async move { store.adopt_conversation(user_id, new, turns).await }).await
    }

    #[tracing::instrument(name = "db.conversation.was_deleted", skip_all, fields(%user_id, %conversation_id))]
    async fn was_deleted(&self, user_id: UserId, conversation_id: ConversationId) -> RepositoryResult<bool> {
        let query = WasDeleted {
            user_id: user_id.into(),
            conversation_id: conversation_id.into(),
            user_hash: user_hash(user_id).to_vec(),
        };
        Ok(self.read(user_id, &query).await?.into_iter().next().unwrap_or(false))
    }

    #[tracing::instrument(name = "db.conversation.get", skip_all, fields(%user_id, %conversation_id))]
    async fn get(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
    ) -> RepositoryResult<Option<Conversation>> {
        let open = conversations::status.ne(ConversationStatus::Deleted.as_str());
        let query = owned(user_id, conversation_id).filter(open).select(ConversationRow::as_select());
        conversation(user_id, self.read(user_id, &query).await?)
    }

    #[tracing::instrument(name = "db.conversation.head", skip_all, fields(%user_id, %conversation_id))]
    async fn head(&self, user_id: UserId, conversation_id: ConversationId) -> RepositoryResult<Option<Head>> {
        let query = owned(user_id, conversation_id)
            .filter(conversations::status.ne(ConversationStatus::Deleted.as_str()))
            .select((conversations::turn_count, conversations::state_revision, conversations::status));
        let rows: Vec<(i32, i64, String)> = self.read(user_id, &query).await?;
        let Some((turn_count, state_revision, status)) = rows.into_iter().next() else { return Ok(None) };
        let row = Row { table: "conversations", key: conversation_id.into() };
        Ok(Some(Head {
            turn_count: row.count("turn_count", turn_count)?,
            state_revision: row.revision("state_revision", state_revision)?,
            status: status.parse().map_err(|_| row.inconsistent("status", "not a known status"))?,
            durability: Durability::Durable,
        }))
    }

    #[tracing::instrument(name = "db.conversation.list", skip_all, fields(%user_id))]
    async fn list(&self, user_id: UserId, list: ListConversations) -> RepositoryResult<ConversationPage> {
        let query = List {
            user_id: user_id.into(),
            updated_at: list.after.map(|after| storable(after.updated_at)),
            conversation_id: list.after.map(|after| after.conversation_id.into()),
            status: list.status.map(ConversationStatus::as_str),
            limit: i64::from(list.limit.get()) + 1,
        };
        let rows: Vec<ConversationRow> = self.read(user_id, &query).await?;
        let rows = rows.into_iter().map(|row| row.of(user_id).try_into());
        Ok(ConversationPage::cut(rows.collect::<Result<_, _>>()?, list.limit, Durability::Durable))
    }

    fn summaries(
        &self,
        user_id: UserId,
        list: ListSummaries,
    ) -> BoxStream<'static, RepositoryResult<ConversationSummary>> {
        self.stream_summaries(user_id, list)
    }

    #[tracing::instrument(name = "db.conversation.search", skip_all, fields(%user_id))]
    async fn search(
        &self,
        user_id: UserId,
        search: SearchConversations,
    ) -> RepositoryResult<Vec<ConversationSummary>> {
        self.find(user_id, search).await
    }

    #[tracing::instrument(name = "db.conversation.update", skip_all, fields(%user_id, %conversation_id))]
    async fn update(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        update: ConversationUpdate,
    ) -> RepositoryResult<Conversation> {
        update.validate()?;
        if update.is_empty() {
            let unchanged = ConversationRepository::get(self, user_id, conversation_id).await?;
            return unchanged.ok_or(RepositoryError::not_found(Entity::Conversation));
        }
        let query = Update {
            user_id: user_id.into(),
            conversation_id: conversation_id.into(),
            changes_summary: update.topic_summary.is_some(),
            topic_summary: text(update.topic_summary.clone().flatten()),
            status: update.status.map(|status| ConversationStatus::from(status).as_str()),
            metadata: update.metadata.as_ref().map(|metadata| Json(metadata.as_json().to_owned())),
            expected_updated_at: update.expected_updated_at.map(storable),
        };
        let store = self.operation();
        detached(conversation_id.into(), async move {
            let answer =
                store.write(user_id, query.conversation_id, &query).await.map_err(Fault::into_error)?;
            let repeated = answer.repeated;
            if let Some(updated) = conversation(user_id, answer.rows)? {
                return Ok(updated);
            }
            let found = match update.expected_updated_at {
                Some(_) => ConversationRepository::get(&store, user_id, conversation_id).await?,
                None => None,
            };
            let found = found.ok_or(RepositoryError::not_found(Entity::Conversation))?;
            // The attempt whose answer was lost may be what has changed it.
            if repeated {
                let is_done = update.is_done_in(&found);
                return is_done.then_some(found).ok_or_else(|| outcome_unknown(conversation_id.into()));
            }
            update.refuse_changed(found.updated_at)?;
            let reason = "the conversation was being changed: try again".into();
            Err(RepositoryError::Overloaded { reason })
        })
        .await
    }

    #[tracing::instrument(name = "db.conversation.delete", skip_all, fields(%user_id, %conversation_id))]
    async fn delete(&self, user_id: UserId, conversation_id: ConversationId) -> RepositoryResult<bool> {
        let actor = self.actor_or(|| Actor::user(user_id));
        self.delete_as(user_id, conversation_id, actor).await
    }
}

impl Postgres {
    /// Deletes the user's conversation, and records that `actor` did.
    pub(super) async fn delete_as(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        actor: String,
    ) -> RepositoryResult<bool> {
        let store = self.operation();
        detached(conversation_id.into(), async move {
            let (user, conversation) = (user_id.into(), conversation_id.into());
            let query = Delete { user_id: user, conversation_id: conversation, actor };
            let answer =
                store.write::<Uuid>(user_id, conversation, &query).await.map_err(Fault::into_error)?;
            if !answer.rows.is_empty() || !answer.repeated {
                return Ok(!answer.rows.is_empty());
            }
            // The attempt whose answer was lost may be the one that deleted it.
            let user_hash = user_hash(user_id).to_vec();
            let query = Deleted { user_id: user, conversation_id: conversation, user_hash };
            Ok(store.read(user_id, &query).await?.into_iter().next().unwrap_or(false))
        })
        .await
    }
}

/// The user's conversation of this id, in whatever status.
#[diesel::dsl::auto_type(no_type_alias)]
fn owned(user_id: UserId, conversation_id: ConversationId) -> _ {
    let user_id: Uuid = *user_id.as_uuid();
    let conversation_id: Uuid = *conversation_id.as_uuid();
    conversations::table
        .filter(conversations::user_id.eq(user_id))
        .filter(conversations::conversation_id.eq(conversation_id))
}

/// The only conversation among `rows`, which are this user's.
fn conversation(user_id: UserId, rows: Vec<ConversationRow>) -> RepositoryResult<Option<Conversation>> {
    rows.into_iter().next().map(|row| row.of(user_id).try_into()).transpose()
}

/// A made-up cursor's time, cut to the years that a conversation can be of: PostgreSQL refuses others.
pub(super) fn storable(time: DateTime<Utc>) -> DateTime<Utc> {
    let year = |year, time: DateTime<Utc>| time.with_year(year).unwrap_or(time);
    time.clamp(year(1, DateTime::UNIX_EPOCH), year(9999, DateTime::UNIX_EPOCH))
}

fn text(text: Option<Text>) -> Option<String> {
    text.map(|text| text.to_string())
}
