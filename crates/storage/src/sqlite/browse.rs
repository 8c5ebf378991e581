//! Looking into conversations in SQLite, whosever they are.

use std::time::Duration;

use async_trait::async_trait;
use diesel::connection::DefaultLoadingMode;
use diesel::prelude::*;
use diesel::sqlite::{Sqlite as Backend, SqliteConnection};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, BrowseRepository, ConversationId, Durability, FindConversations, FoundConversation,
    FoundConversations, OpenedConversation, PageLimit, Remains, RepositoryError, Text, TurnPage, TurnRange,
    UserId,
};
use tokio::time::Instant;

use super::Sqlite;
use super::conversation::{self, find};
use super::error::Failure;
use super::hold::owner;
use super::limited::perhaps_limited;
use super::row::{BlobUuid, Cell, Micros, Reader};
use super::schema::conversation_tombstones as tombstones;
use super::schema::conversations::{self, dsl};
use super::transfer::state_of;
use super::turn::turns;

/// How long a search may take.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Queryable, Selectable)]
#[diesel(table_name = conversations, check_for_backend(Backend))]
struct FoundRow {
    conversation_id: Cell<Vec<u8>>,
    user_id: Cell<Vec<u8>>,
    topic_summary: Option<Cell<String>>,
    status: Cell<String>,
    turn_count: Cell<i64>,
    created_at: Cell<i64>,
    updated_at: Cell<i64>,
}

impl TryFrom<FoundRow> for FoundConversation {
    type Error = RepositoryError;

    fn try_from(row: FoundRow) -> Result<Self, RepositoryError> {
        let reader = Reader::new("conversations", "conversation_id", row.conversation_id)?;
        Ok(Self {
            conversation_id: ConversationId::from_uuid(reader.key()),
            user_id: UserId::from_uuid(reader.uuid("user_id", row.user_id)?),
            topic_summary: reader.optional_text("topic_summary", row.topic_summary)?.map(Text::from_stored),
            status: reader.parsed("status", row.status)?,
            turn_count: reader.count("turn_count", row.turn_count)?,
            created_at: reader.time("created_at", row.created_at)?,
            updated_at: reader.time("updated_at", row.updated_at)?,
        })
    }
}

/// Keeps the newest.
fn keep_newest(found: &mut Vec<FoundConversation>, most: usize) {
    found.sort_unstable_by(|a, b| {
        b.updated_at.cmp(&a.updated_at).then_with(|| a.conversation_id.cmp(&b.conversation_id))
    });
    found.truncate(most);
}

/// The conversations that are looked for, and one more than the page has. Topics are looked through here and not by
/// SQLite's LIKE, which knows the cases of ASCII's letters only.
///
/// Where all topics are looked through, SQLite does not sort: that would be all rows, before the first of them is seen and
/// the time is looked at. The newest of those that are found are kept here.
fn look(
    connection: &mut SqliteConnection,
    searched: &FindConversations,
) -> Result<Vec<FoundConversation>, Failure> {
    let mut query = dsl::conversations.select(FoundRow::as_select()).into_boxed::<Backend>();
    if let Some(id) = searched.id {
        query = query.filter(dsl::conversation_id.between(BlobUuid::from(id.first), BlobUuid::from(id.last)));
    }
    if let Some(user_id) = searched.user_id {
        query = query.filter(dsl::user_id.eq(BlobUuid::from(user_id)));
    }
    if let Some(after) = searched.after {
        let (time, id) = (Micros::from(after.updated_at), BlobUuid::from(after.conversation_id));
        let behind = dsl::updated_at.lt(time).or(dsl::updated_at.eq(time).and(dsl::conversation_id.gt(id)));
        query = query.filter(behind);
    }
    let is_sorted = searched.topic.is_none() || searched.user_id.is_some();
    if is_sorted {
        query = query.order((dsl::updated_at.desc(), dsl::conversation_id));
    }
    // Where nothing is looked at row by row, SQLite keeps the newest and sorts no more than these.
    let most = searched.topic.is_none().then(|| i64::from(searched.limit.get()) + 1);
    let rows = perhaps_limited(query, most);
    let (end, enough) = (Instant::now() + PATIENCE, searched.limit.get() as usize + 1);
    let mut found = Vec::new();
    for row in rows.load_iter::<FoundRow, DefaultLoadingMode>(connection)? {
        if Instant::now() > end {
            let reason = format!("the search took longer than {PATIENCE:?}: look for an id or a user");
            return Err(RepositoryError::Overloaded { reason }.into());
        }
        let conversation = FoundConversation::try_from(row?)?;
        if searched.finds_topic(conversation.topic_summary.as_deref()) {
            found.push(conversation);
        }
        if is_sorted && found.len() == enough {
            break;
        }
        if found.len() >= 2 * enough {
            keep_newest(&mut found, enough);
        }
    }
    if !is_sorted {
        keep_newest(&mut found, enough);
    }
    Ok(found)
}

#[async_trait]
impl BrowseRepository for Sqlite {
    #[tracing::instrument(name = "db.browse.find_conversations", skip_all)]
    async fn find_conversations(&self, find: FindConversations) -> RepositoryResult<FoundConversations> {
        find.validate()?;
        let limit = find.limit;
        let found = self.database.read(move |connection| look(connection, &find)).await?;
        Ok(FoundConversations::cut(found, limit))
    }

    #[tracing::instrument(name = "db.browse.open_conversation", skip_all, fields(%conversation_id))]
    async fn open_conversation(
        &self,
        conversation_id: ConversationId,
    ) -> RepositoryResult<Option<OpenedConversation>> {
        self.database
            .read_snapshot(move |connection| {
                let Some(conversation) = find(connection, conversation_id)? else { return Ok(None) };
                let agent_state = state_of(connection, conversation_id)?;
                Ok(Some(OpenedConversation { conversation, agent_state }))
            })
            .await
    }

    #[tracing::instrument(name = "db.browse.read_turns", skip_all, fields(%conversation_id))]
    async fn read_turns(
        &self,
        conversation_id: ConversationId,
        range: TurnRange,
        limit: PageLimit,
    ) -> RepositoryResult<Option<TurnPage>> {
        self.database
            .read_snapshot(move |connection| {
                let Some(conversation) = find(connection, conversation_id)? else { return Ok(None) };
                let turns = turns(connection, conversation.user_id, conversation_id, range, limit)?;
                let turn_count = conversation.turn_count;
                Ok(Some(TurnPage { turns, turn_count, durability: Durability::Durable }))
            })
            .await
    }

    #[tracing::instrument(name = "db.browse.find_remains", skip_all, fields(%conversation_id))]
    async fn find_remains(&self, conversation_id: ConversationId) -> RepositoryResult<Option<Remains>> {
        type Columns = (Cell<Vec<u8>>, Cell<String>, Cell<i64>);
        self.database
            .read(move |connection| {
                let row: Option<Columns> = tombstones::table
                    .find(BlobUuid::from(conversation_id))
                    .select((tombstones::conversation_id, tombstones::reason, tombstones::at))
                    .get_result(connection)
                    .optional()?;
                let Some((key, reason, at)) = row else { return Ok(None) };
                let reader = Reader::new("conversation_tombstones", "conversation_id", key)?;
                let (reason, at) = (reader.text("reason", reason)?, reader.time("at", at)?);
                Ok(Some(Remains { conversation_id, reason, at }))
            })
            .await
    }

    #[tracing::instrument(name = "db.browse.delete_conversation", skip_all, fields(%conversation_id))]
    async fn delete_conversation(
        &self,
        conversation_id: ConversationId,
        by: Actor,
    ) -> RepositoryResult<bool> {
        self.database
            .write(conversation_id, move |connection, now| {
                let Some(user_id) = owner(connection, conversation_id)? else { return Ok(false) };
                conversation::delete(connection, user_id, conversation_id, by, now)
            })
            .await
    }
}
