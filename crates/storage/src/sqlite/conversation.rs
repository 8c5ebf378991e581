//! Conversations in SQLite.

pub(super) mod search;
mod summary;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::sqlite::{Sqlite as Backend, SqliteConnection};
use futures_util::stream::BoxStream;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, AgentId, Conversation, ConversationCursor, ConversationId, ConversationPage,
    ConversationRepository, ConversationStatus, ConversationSummary, ConversationUpdate, Durability, Entity,
    Head, ListConversations, ListSummaries, NewConversation, NewTurn, RepositoryError, SearchConversations,
    Text, UserId,
};

use super::error::Failure;
use super::limited::limited;
use super::row::{BlobUuid, Cell, ConversationRow, Micros, Reader};
use super::schema::conversation_tombstones;
use super::schema::conversations::{self, dsl};
use super::turn::{self, AdvanceHead, Payloads};
use super::{Sqlite, audit};
use crate::audit::deletion;
use crate::row::ConversationRecord;
use crate::tombstone::user_hash;

pub(super) const DELETED: &str = ConversationStatus::Deleted.as_str();

#[derive(Insertable)]
#[diesel(table_name = conversations, treat_none_as_default_value = false)]
struct NewRow<'a> {
    conversation_id: BlobUuid,
    user_id: BlobUuid,
    agent_id: BlobUuid,
    model_id: &'a str,
    system_prompt: Option<String>,
    created_at: Micros,
    updated_at: Micros,
    status: &'a str,
    metadata: &'a str,
    turn_count: i64,
    state_revision: i64,
    topic_summary: Option<String>,
    external_id: Option<String>,
}

/// The conversation of this id, whoever's and however it is.
pub(super) fn find(
    connection: &mut SqliteConnection,
    conversation_id: ConversationId,
) -> Result<Option<Conversation>, Failure> {
    let row = dsl::conversations
        .filter(dsl::conversation_id.eq(BlobUuid::from(conversation_id)))
        .select(ConversationRow::as_select())
        .get_result(connection)
        .optional()?;
    Ok(row.map(ConversationRecord::try_from).transpose()?.map(Conversation::try_from).transpose()?)
}

/// The user's conversation, unless it is absent, foreign or deleted.
fn find_visible(
    connection: &mut SqliteConnection,
    user_id: UserId,
    conversation_id: ConversationId,
) -> Result<Option<Conversation>, Failure> {
    let row = dsl::conversations
        .filter(dsl::conversation_id.eq(BlobUuid::from(conversation_id)))
        .filter(dsl::user_id.eq(BlobUuid::from(user_id)))
        .filter(dsl::status.ne(DELETED))
        .select(ConversationRow::as_select())
        .get_result(connection)
        .optional()?;
    Ok(row.map(ConversationRecord::try_from).transpose()?.map(Conversation::try_from).transpose()?)
}

/// Makes a conversation, or finds the one that this very command made.
pub(super) fn create(
    connection: &mut SqliteConnection,
    user_id: UserId,
    new: NewConversation,
    now: DateTime<Utc>,
) -> Result<Conversation, Failure> {
    if let Some(existing) = find(connection, new.conversation_id)? {
        return if new.made(user_id, &existing) {
            Ok(existing)
        } else {
            Err(RepositoryError::AlreadyExists { entity: Entity::Conversation }.into())
        };
    }
    insert(connection, user_id, new, now)
}

/// Makes a conversation without turns.
fn insert(
    connection: &mut SqliteConnection,
    user_id: UserId,
    new: NewConversation,
    now: DateTime<Utc>,
) -> Result<Conversation, Failure> {
    let row = NewRow {
        conversation_id: new.conversation_id.into(),
        user_id: user_id.into(),
        agent_id: new.agent_id.into(),
        model_id: &new.model_id,
        system_prompt: new.system_prompt.as_ref().map(Text::to_string),
        created_at: now.into(),
        updated_at: now.into(),
        status: ConversationStatus::Active.as_str(),
        metadata: new.metadata.as_json(),
        turn_count: 0,
        state_revision: 0,
        topic_summary: new.topic_summary.as_ref().map(Text::to_string),
        external_id: new.external_id.as_ref().map(Text::to_string),
    };
    diesel::insert_into(dsl::conversations).values(row).execute(connection)?;
    Ok(Conversation {
        conversation_id: new.conversation_id,
        user_id,
        agent_id: new.agent_id,
        model_id: new.model_id,
        system_prompt: new.system_prompt,
        created_at: now,
        updated_at: now,
        status: ConversationStatus::Active,
        metadata: new.metadata,
        turn_count: 0,
        state_revision: 0,
        topic_summary: new.topic_summary,
        external_id: new.external_id,
        durability: Durability::Durable,
    })
}

/// What an operation on a conversation decides by.
pub(super) struct Place {
    pub(super) turn_count: u32,
    pub(super) state_revision: u64,
    pub(super) status: ConversationStatus,
    pub(super) agent_id: AgentId,
}

/// The place of the user's conversation: one row by its primary key.
pub(super) fn find_place(
    connection: &mut SqliteConnection,
    user_id: UserId,
    conversation_id: ConversationId,
) -> Result<Option<Place>, Failure> {
    type Row = (Cell<Vec<u8>>, Cell<i64>, Cell<i64>, Cell<String>, Cell<Vec<u8>>);
    let row: Option<Row> = dsl::conversations
        .filter(dsl::conversation_id.eq(BlobUuid::from(conversation_id)))
        .filter(dsl::user_id.eq(BlobUuid::from(user_id)))
        .filter(dsl::status.ne(DELETED))
        .select((dsl::conversation_id, dsl::turn_count, dsl::state_revision, dsl::status, dsl::agent_id))
        .get_result(connection)
        .optional()?;
    let Some((key, turn_count, state_revision, status, agent_id)) = row else {
        return Ok(None);
    };
    let reader = Reader::new("conversations", "conversation_id", key)?;
    Ok(Some(Place {
        turn_count: reader.count("turn_count", turn_count)?,
        state_revision: reader.revision("state_revision", state_revision)?,
        status: reader.parsed("status", status)?,
        agent_id: AgentId::from_uuid(reader.uuid("agent_id", agent_id)?),
    }))
}

/// Deletes the user's conversation, and records that `actor` did; `false` where it is absent, foreign or deleted.
pub(super) fn delete(
    connection: &mut SqliteConnection,
    user_id: UserId,
    conversation_id: ConversationId,
    actor: Actor,
    now: DateTime<Utc>,
) -> Result<bool, Failure> {
    let found = find_place(connection, user_id, conversation_id)?;
    let visible = dsl::conversations
        .filter(dsl::conversation_id.eq(BlobUuid::from(conversation_id)))
        .filter(dsl::user_id.eq(BlobUuid::from(user_id)))
        .filter(dsl::status.ne(DELETED));
    let deleted = diesel::update(visible)
        .set((
            dsl::status.eq(DELETED),
            dsl::updated_at.eq(super::turn::max(dsl::updated_at, Micros::from(now))),
        ))
        .execute(connection)?;
    if let Some(place) = found {
        audit::record(connection, deletion(actor, user_id, conversation_id, place.turn_count), now)?;
    }
    Ok(deleted == 1)
}

#[async_trait]
impl ConversationRepository for Sqlite {
    #[tracing::instrument(name = "db.conversation.create", skip_all, fields(%user_id, conversation_id = %new.conversation_id))]
    async fn create(&self, user_id: UserId, new: NewConversation) -> RepositoryResult<Conversation> {
        new.validate()?;
        self.database
            .write(new.conversation_id, move |connection, now| create(connection, user_id, new, now))
            .await
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
        let payloads = turns.iter().map(Payloads::of).collect::<RepositoryResult<Vec<_>>>()?;
        self.database
            .write(new.conversation_id, move |connection, now| {
                if let Some(existing) = find(connection, new.conversation_id)? {
                    let is_open =
                        existing.user_id == user_id && existing.status != ConversationStatus::Deleted;
                    return is_open
                        .then_some(existing)
                        .ok_or(RepositoryError::AlreadyExists { entity: Entity::Conversation }.into());
                }
                let mut adopted = insert(connection, user_id, new, now)?;
                for (turn, payloads) in turns.iter().zip(payloads) {
                    adopted.turn_count += 1;
                    turn::insert(
                        connection,
                        user_id,
                        adopted.conversation_id,
                        adopted.turn_count,
                        turn,
                        &payloads,
                    )?;
                }
                AdvanceHead {
                    conversation_id: adopted.conversation_id.into(),
                    turns: adopted.turn_count.into(),
                    revisions: 0,
                    now: now.into(),
                }
                .execute(connection)?;
                Ok(adopted)
            })
            .await
    }

    #[tracing::instrument(name = "db.conversation.was_deleted", skip_all, fields(%user_id, %conversation_id))]
    async fn was_deleted(&self, user_id: UserId, conversation_id: ConversationId) -> RepositoryResult<bool> {
        self.database
            .read(move |connection| {
                let id = BlobUuid::from(conversation_id);
                let deleted = dsl::conversations
                    .filter(dsl::user_id.eq(BlobUuid::from(user_id)))
                    .filter(dsl::conversation_id.eq(id))
                    .filter(dsl::status.eq(DELETED));
                let purged = conversation_tombstones::table
                    .filter(conversation_tombstones::conversation_id.eq(id))
                    .filter(conversation_tombstones::user_hash.eq(user_hash(user_id).to_vec()));
                Ok(diesel::select(exists(deleted)).get_result::<bool>(connection)?
                    || diesel::select(exists(purged)).get_result::<bool>(connection)?)
            })
            .await
    }

    #[tracing::instrument(name = "db.conversation.get", skip_all, fields(%user_id, %conversation_id))]
    async fn get(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
    ) -> RepositoryResult<Option<Conversation>> {
        self.database.read(move |connection| find_visible(connection, user_id, conversation_id)).await
    }

    #[tracing::instrument(name = "db.conversation.head", skip_all, fields(%user_id, %conversation_id))]
    async fn head(&self, user_id: UserId, conversation_id: ConversationId) -> RepositoryResult<Option<Head>> {
        let place =
            self.database.read(move |connection| find_place(connection, user_id, conversation_id)).await?;
        Ok(place.map(|place| Head {
            turn_count: place.turn_count,
            state_revision: place.state_revision,
            status: place.status,
            durability: Durability::Durable,
        }))
    }

    #[tracing::instrument(name = "db.conversation.list", skip_all, fields(%user_id))]
    async fn list(&self, user_id: UserId, list: ListConversations) -> RepositoryResult<ConversationPage> {
        let conversations = self
            .database
            .read(move |connection| {
                let mut query = dsl::conversations
                    .filter(dsl::user_id.eq(BlobUuid::from(user_id)))
                    .filter(dsl::status.ne(DELETED))
                    .select(ConversationRow::as_select())
                    .into_boxed::<Backend>();
                if let Some(status) = list.status {
                    query = query.filter(dsl::status.eq(status.as_str()));
                }
                if let Some(ConversationCursor { updated_at, conversation_id }) = list.after {
                    let (time, id) = (Micros::from(updated_at), BlobUuid::from(conversation_id));
                    query = query.filter(
                        dsl::updated_at
                            .lt(time)
                            .or(dsl::updated_at.eq(time).and(dsl::conversation_id.gt(id))),
                    );
                }
                let query = query.order((dsl::updated_at.desc(), dsl::conversation_id));
                let rows = limited(query, i64::from(list.limit.get()) + 1).load(connection)?;
                let conversations = rows
                    .into_iter()
                    .map(|row: ConversationRow| ConversationRecord::try_from(row)?.try_into())
                    .collect::<Result<_, RepositoryError>>()?;
                Ok(conversations)
            })
            .await?;
        Ok(ConversationPage::cut(conversations, list.limit, Durability::Durable))
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
        self.find_words(user_id, search).await
    }

    #[tracing::instrument(name = "db.conversation.update", skip_all, fields(%user_id, %conversation_id))]
    async fn update(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        update: ConversationUpdate,
    ) -> RepositoryResult<Conversation> {
        update.validate()?;
        self.database
            .write(conversation_id, move |connection, now| {
                let found = find_visible(connection, user_id, conversation_id)?;
                let mut conversation = found.ok_or(RepositoryError::not_found(Entity::Conversation))?;
                if update.is_empty() {
                    return Ok(conversation);
                }
                update.refuse_changed(conversation.updated_at)?;
                conversation.updated_at = now.max(conversation.updated_at + TimeDelta::microseconds(1));
                conversation.status = update.status.map_or(conversation.status, ConversationStatus::from);
                conversation.metadata = update.metadata.unwrap_or(conversation.metadata);
                conversation.topic_summary = update.topic_summary.unwrap_or(conversation.topic_summary);
                diesel::update(dsl::conversations.find(BlobUuid::from(conversation_id)))
                    .set((
                        dsl::updated_at.eq(Micros::from(conversation.updated_at)),
                        dsl::status.eq(conversation.status.as_str()),
                        dsl::metadata.eq(conversation.metadata.as_json()),
                        dsl::topic_summary.eq(conversation.topic_summary.as_deref()),
                    ))
                    .execute(connection)?;
                Ok(conversation)
            })
            .await
    }

    #[tracing::instrument(name = "db.conversation.delete", skip_all, fields(%user_id, %conversation_id))]
    async fn delete(&self, user_id: UserId, conversation_id: ConversationId) -> RepositoryResult<bool> {
        let actor = self.actor_or(|| Actor::user(user_id));
        self.database
            .write(conversation_id, move |connection, now| {
                delete(connection, user_id, conversation_id, actor, now)
            })
            .await
    }
}
