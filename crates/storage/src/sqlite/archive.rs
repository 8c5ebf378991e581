//! Archives in SQLite: which holds what. The write lock keeps all that changes it apart.

mod leave;
mod restore;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::dsl::{exists, not};
use diesel::prelude::*;
use diesel::sqlite::{Sqlite as Backend, SqliteConnection};
use futures_util::stream::BoxStream;
use lcs_domain::archive::{
    Archive, ArchiveContent, ArchiveState, ArchivedHead, Forgotten, Restored, Tombstone, UserHash,
};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::{IncomingConversation, IncomingHead};
use lcs_domain::{
    Actor, AgentId, ArchiveId, ArchiveRepository, ConversationId, ConversationStatus, NewTurn, PageLimit,
    PurgeReason, PurgedConversation, RepositoryError, RetentionPolicy, UserId,
};

use self::leave::leave;
use super::error::Failure;
use super::limited::limited;
use super::retention::{due, is_held, purge};
use super::row::{BlobUuid, Cell, Micros, Reader};
use super::schema::{archives, conversation_tombstones as tombstones, conversations, restorations};
use super::{Sqlite, audit};

#[derive(Queryable, Selectable)]
#[diesel(table_name = archives, check_for_backend(Backend))]
struct ArchiveRow {
    archive_id: Cell<Vec<u8>>,
    state: Cell<String>,
    begun_at: Cell<i64>,
    conversations: Cell<i64>,
    turns: Cell<i64>,
    bytes: Cell<i64>,
}

impl TryFrom<ArchiveRow> for Archive {
    type Error = RepositoryError;

    fn try_from(row: ArchiveRow) -> Result<Self, RepositoryError> {
        let reader = Reader::new("archives", "archive_id", row.archive_id)?;
        Ok(Self {
            archive_id: ArchiveId::from_uuid(reader.key()),
            state: reader.parsed("state", row.state)?,
            begun_at: reader.time("begun_at", row.begun_at)?,
            content: ArchiveContent {
                conversations: reader.revision("conversations", row.conversations)?,
                turns: reader.revision("turns", row.turns)?,
                bytes: reader.revision("bytes", row.bytes)?,
            },
        })
    }
}

/// The archive, in whatever state.
fn find(connection: &mut SqliteConnection, archive_id: ArchiveId) -> Result<Option<Archive>, Failure> {
    let row = archives::table.find(BlobUuid::from(archive_id)).select(ArchiveRow::as_select());
    let row: Option<ArchiveRow> = row.get_result(connection).optional()?;
    Ok(row.map(Archive::try_from).transpose()?)
}

/// Whether nobody has closed it.
fn is_begun(connection: &mut SqliteConnection, archive_id: ArchiveId) -> Result<bool, Failure> {
    Ok(find(connection, archive_id)?.is_some_and(|archive| archive.state == ArchiveState::Begun))
}

/// How many conversations the tombstones say that it holds, whatever their reason is by now.
fn count(connection: &mut SqliteConnection, archive_id: ArchiveId) -> Result<u64, Failure> {
    let archived: i64 = tombstones::table
        .filter(tombstones::archive_id.eq(BlobUuid::from(archive_id)))
        .count()
        .get_result(connection)?;
    Ok(archived.unsigned_abs())
}

fn mark(
    connection: &mut SqliteConnection,
    archive_id: ArchiveId,
    state: ArchiveState,
) -> Result<ArchiveState, Failure> {
    diesel::update(archives::table.find(BlobUuid::from(archive_id)))
        .set(archives::state.eq(state.as_str()))
        .execute(connection)?;
    Ok(state)
}

/// Closes it, with so much in it.
fn close(
    connection: &mut SqliteConnection,
    archive_id: ArchiveId,
    content: ArchiveContent,
) -> Result<Option<ArchiveState>, Failure> {
    let Some(archive) = find(connection, archive_id)? else { return Ok(None) };
    if archive.state != ArchiveState::Begun {
        return Ok(Some(archive.state));
    }
    let state = ArchiveState::closed(count(connection, archive_id)?, content.conversations);
    diesel::update(archives::table.find(BlobUuid::from(archive_id)))
        .set((
            archives::conversations.eq(content.conversations.cast_signed()),
            archives::turns.eq(content.turns.cast_signed()),
            archives::bytes.eq(content.bytes.cast_signed()),
        ))
        .execute(connection)?;
    mark(connection, archive_id, state).map(Some)
}

/// Given up where nothing is archived in it, and else stale.
fn give_up(
    connection: &mut SqliteConnection,
    archive_id: ArchiveId,
) -> Result<Option<ArchiveState>, Failure> {
    if find(connection, archive_id)?.is_none() {
        return Ok(None);
    }
    let is_empty = count(connection, archive_id)? == 0;
    let state = if is_empty { ArchiveState::GivenUp } else { ArchiveState::Stale };
    mark(connection, archive_id, state).map(Some)
}

/// What is left of a removed conversation.
fn tombstone(
    connection: &mut SqliteConnection,
    conversation_id: ConversationId,
) -> Result<Option<Tombstone>, Failure> {
    type Left = (Cell<Vec<u8>>, Cell<String>, Option<Cell<Vec<u8>>>);
    let left: Option<Left> = tombstones::table
        .find(BlobUuid::from(conversation_id))
        .select((tombstones::conversation_id, tombstones::reason, tombstones::archive_id))
        .get_result(connection)
        .optional()?;
    let Some((key, reason, archive_id)) = left else { return Ok(None) };
    let reader = Reader::new("conversation_tombstones", "conversation_id", key)?;
    let archive_id = archive_id.map(|cell| reader.uuid("archive_id", cell)).transpose()?;
    let reason = reader.parsed("reason", reason)?;
    Ok(Some(Tombstone { reason, archive_id: archive_id.map(ArchiveId::from_uuid) }))
}

/// Removes the conversation of this head, where it may go and is still as the archive has it.
fn remove(
    connection: &mut SqliteConnection,
    archive_id: ArchiveId,
    policy: RetentionPolicy,
    head: &ArchivedHead,
    now: DateTime<Utc>,
) -> Result<bool, Failure> {
    type Ids = (Cell<Vec<u8>>, Cell<Vec<u8>>, Cell<Vec<u8>>);
    let found: Option<Ids> = conversations::table
        .find(BlobUuid::from(head.conversation_id))
        .filter(conversations::turn_count.eq(i64::from(head.turn_count)))
        .filter(conversations::state_revision.eq(head.state_revision.cast_signed()))
        .filter(conversations::updated_at.eq(Micros::from(head.updated_at)))
        .filter(conversations::status.ne(ConversationStatus::Deleted.as_str()))
        .filter(due(policy, now))
        .filter(not(is_held()))
        .select((conversations::conversation_id, conversations::user_id, conversations::agent_id))
        .get_result(connection)
        .optional()?;
    let Some((key, user_id, agent_id)) = found else { return Ok(false) };
    let reader = Reader::new("conversations", "conversation_id", key)?;
    let purged = PurgedConversation {
        conversation_id: head.conversation_id,
        user_id: UserId::from_uuid(reader.uuid("user_id", user_id)?),
        agent_id: AgentId::from_uuid(reader.uuid("agent_id", agent_id)?),
        reason: PurgeReason::Expired,
    };
    purge(connection, purged, Some(archive_id), now)?;
    Ok(true)
}

/// The ids in a column of keys.
fn ids(table: &'static str, rows: Vec<Cell<Vec<u8>>>) -> Result<Vec<uuid::Uuid>, Failure> {
    let mut ids = Vec::with_capacity(rows.len());
    for row in rows {
        ids.push(Reader::new(table, "id", row)?.key());
    }
    Ok(ids)
}

impl Sqlite {
    /// What the archive holds: all of it, or what may come back.
    async fn held_in(
        &self,
        archive_id: ArchiveId,
        is_expired: bool,
    ) -> RepositoryResult<Vec<ConversationId>> {
        self.database
            .read(move |connection| {
                let mut query = tombstones::table
                    .filter(tombstones::archive_id.eq(BlobUuid::from(archive_id)))
                    .order(tombstones::conversation_id)
                    .select(tombstones::conversation_id)
                    .into_boxed::<Backend>();
                if is_expired {
                    query = query.filter(tombstones::reason.eq(PurgeReason::Expired.as_str()));
                }
                let ids = ids("conversation_tombstones", query.load(connection)?)?;
                Ok(ids.into_iter().map(ConversationId::from_uuid).collect())
            })
            .await
    }

    async fn archive_page(
        &self,
        after: Option<ArchiveId>,
        limit: PageLimit,
        unfinished: bool,
    ) -> RepositoryResult<Vec<Archive>> {
        self.database
            .read(move |connection| {
                let mut query = archives::table
                    .select(ArchiveRow::as_select())
                    .order(archives::archive_id)
                    .into_boxed::<Backend>();
                if let Some(after) = after {
                    query = query.filter(archives::archive_id.gt(BlobUuid::from(after)));
                }
                if unfinished {
                    query = query.filter(archives::state.ne(ArchiveState::Complete.as_str()));
                }
                let rows: Vec<ArchiveRow> = limited(query, limit.get().into()).load(connection)?;
                Ok(rows.into_iter().map(Archive::try_from).collect::<Result<Vec<_>, _>>()?)
            })
            .await
    }
}

#[async_trait]
impl ArchiveRepository for Sqlite {
    #[tracing::instrument(name = "db.archive.due_for_archive", skip_all)]
    async fn due_for_archive(
        &self,
        policy: RetentionPolicy,
        except: Vec<ConversationId>,
        limit: u32,
    ) -> RepositoryResult<Vec<ConversationId>> {
        let now = self.database.now();
        let except: Vec<_> = except.into_iter().map(BlobUuid::from).collect();
        self.database
            .read(move |connection| {
                let rows = conversations::table
                    .filter(conversations::status.ne(ConversationStatus::Deleted.as_str()))
                    .filter(due(policy, now))
                    .filter(not(is_held()))
                    .filter(conversations::conversation_id.ne_all(except))
                    .order((conversations::updated_at, conversations::conversation_id))
                    .select(conversations::conversation_id);
                let rows = limited(rows, limit.into()).load(connection)?;
                Ok(ids("conversations", rows)?.into_iter().map(ConversationId::from_uuid).collect())
            })
            .await
    }

    #[tracing::instrument(name = "db.archive.begin_archive", skip_all, fields(%archive_id))]
    async fn begin_archive(&self, archive_id: ArchiveId, unless_within: Duration) -> RepositoryResult<bool> {
        let within = TimeDelta::from_std(unless_within).unwrap_or(TimeDelta::MAX);
        self.database
            .write(archive_id, move |connection, now| {
                if let Some(archive) = find(connection, archive_id)? {
                    return Ok(archive.state == ArchiveState::Begun);
                }
                let since = now.checked_sub_signed(within).unwrap_or(DateTime::<Utc>::MIN_UTC);
                let others = archives::table
                    .filter(archives::state.eq(ArchiveState::Begun.as_str()))
                    .filter(archives::begun_at.gt(Micros::from(since)));
                if diesel::select(exists(others)).get_result(connection)? {
                    return Ok(false);
                }
                diesel::insert_into(archives::table)
                    .values((
                        archives::archive_id.eq(BlobUuid::from(archive_id)),
                        archives::begun_at.eq(Micros::from(now)),
                    ))
                    .execute(connection)?;
                Ok(true)
            })
            .await
    }

    #[tracing::instrument(name = "db.archive.remove_archived", skip_all, fields(%archive_id))]
    async fn remove_archived(
        &self,
        archive_id: ArchiveId,
        policy: RetentionPolicy,
        heads: Vec<ArchivedHead>,
    ) -> RepositoryResult<Option<u64>> {
        let actor = self.actor_or(Actor::retention);
        self.database
            .write(archive_id, move |connection, now| {
                if !is_begun(connection, archive_id)? {
                    return Ok(None);
                }
                let (mut moved, mut turns) = (Vec::new(), 0);
                for head in &heads {
                    if remove(connection, archive_id, policy, head, now)? {
                        moved.push(head.conversation_id);
                        turns += u64::from(head.turn_count);
                    }
                }
                if let Some(event) = crate::audit::archival(actor, archive_id, &moved, turns) {
                    audit::record(connection, event, now)?;
                }
                Ok(Some(moved.len() as u64))
            })
            .await
    }

    #[tracing::instrument(name = "db.archive.close_archive", skip_all, fields(%archive_id))]
    async fn close_archive(
        &self,
        archive_id: ArchiveId,
        content: ArchiveContent,
    ) -> RepositoryResult<Option<ArchiveState>> {
        self.database.write(archive_id, move |connection, _| close(connection, archive_id, content)).await
    }

    #[tracing::instrument(name = "db.archive.replace_archive", skip_all, fields(%old, %new))]
    async fn replace_archive(
        &self,
        old: ArchiveId,
        new: ArchiveId,
        conversations: Vec<ConversationId>,
        content: ArchiveContent,
    ) -> RepositoryResult<Option<ArchiveState>> {
        self.database
            .write(new, move |connection, _| {
                if is_begun(connection, new)? {
                    for id in conversations {
                        let left = tombstones::table
                            .find(BlobUuid::from(id))
                            .filter(tombstones::archive_id.eq(BlobUuid::from(old)));
                        diesel::update(left)
                            .set(tombstones::archive_id.eq(BlobUuid::from(new)))
                            .execute(connection)?;
                    }
                    give_up(connection, old)?;
                }
                close(connection, new, content)
            })
            .await
    }

    #[tracing::instrument(name = "db.archive.give_up_archive", skip_all, fields(%archive_id))]
    async fn give_up_archive(&self, archive_id: ArchiveId) -> RepositoryResult<Option<ArchiveState>> {
        self.database.write(archive_id, move |connection, _| give_up(connection, archive_id)).await
    }

    #[tracing::instrument(name = "db.archive.forget_archive", skip_all, fields(%archive_id))]
    async fn forget_archive(&self, archive_id: ArchiveId) -> RepositoryResult<()> {
        self.database
            .write(archive_id, move |connection, _| {
                let gone = archives::table
                    .find(BlobUuid::from(archive_id))
                    .filter(archives::state.eq(ArchiveState::GivenUp.as_str()));
                diesel::delete(gone).execute(connection)?;
                Ok(())
            })
            .await
    }

    #[tracing::instrument(name = "db.archive.find_archive", skip_all, fields(%archive_id))]
    async fn find_archive(&self, archive_id: ArchiveId) -> RepositoryResult<Option<Archive>> {
        self.database.read(move |connection| find(connection, archive_id)).await
    }

    #[tracing::instrument(name = "db.archive.list_archives", skip_all)]
    async fn list_archives(
        &self,
        after: Option<ArchiveId>,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<Archive>> {
        self.archive_page(after, limit, false).await
    }

    #[tracing::instrument(name = "db.archive.unfinished_archives", skip_all)]
    async fn unfinished_archives(
        &self,
        after: Option<ArchiveId>,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<Archive>> {
        self.archive_page(after, limit, true).await
    }

    #[tracing::instrument(name = "db.archive.archived_in", skip_all, fields(%archive_id))]
    async fn archived_in(&self, archive_id: ArchiveId) -> RepositoryResult<Vec<ConversationId>> {
        self.held_in(archive_id, false).await
    }

    #[tracing::instrument(name = "db.archive.restorable_in", skip_all, fields(%archive_id))]
    async fn restorable_in(&self, archive_id: ArchiveId) -> RepositoryResult<Vec<ConversationId>> {
        self.held_in(archive_id, true).await
    }

    #[tracing::instrument(name = "db.archive.tombstone", skip_all, fields(%conversation_id))]
    async fn tombstone(&self, conversation_id: ConversationId) -> RepositoryResult<Option<Tombstone>> {
        self.database.read(move |connection| tombstone(connection, conversation_id)).await
    }

    #[tracing::instrument(name = "db.archive.is_restored", skip_all, fields(%conversation_id))]
    async fn is_restored(&self, conversation_id: ConversationId) -> RepositoryResult<bool> {
        self.database
            .read(move |connection| {
                let restored = restorations::table
                    .inner_join(conversations::table)
                    .filter(restorations::conversation_id.eq(BlobUuid::from(conversation_id)))
                    .filter(conversations::status.ne(ConversationStatus::Deleted.as_str()));
                Ok(diesel::select(exists(restored)).get_result(connection)?)
            })
            .await
    }

    #[tracing::instrument(name = "db.archive.archives_of_user", skip_all)]
    async fn archives_of_user(&self, user: UserHash) -> RepositoryResult<Vec<ArchiveId>> {
        self.database
            .read(move |connection| {
                let rows: Vec<Option<Cell<Vec<u8>>>> = tombstones::table
                    .filter(tombstones::archive_id.is_not_null())
                    .filter(tombstones::reason.eq(PurgeReason::Expired.as_str()))
                    .filter(tombstones::user_hash.eq(user.0.to_vec()))
                    .order(tombstones::archive_id)
                    .select(tombstones::archive_id)
                    .distinct()
                    .load(connection)?;
                let ids = ids("conversation_tombstones", rows.into_iter().flatten().collect())?;
                Ok(ids.into_iter().map(ArchiveId::from_uuid).collect())
            })
            .await
    }

    #[tracing::instrument(name = "db.archive.leave_archives", skip_all)]
    async fn leave_archives(&self, what: Forgotten) -> RepositoryResult<u64> {
        self.database.write("the erasure", move |connection, _| leave(connection, what)).await
    }

    #[tracing::instrument(name = "db.archive.restore", skip_all, fields(%archive_id, conversations = conversations.len()))]
    async fn restore(
        &self,
        archive_id: ArchiveId,
        keep: Duration,
        conversations: Vec<IncomingConversation>,
    ) -> RepositoryResult<Vec<Restored>> {
        self.restore_all(archive_id, keep, conversations).await
    }

    #[tracing::instrument(name = "db.archive.restore_long", skip_all, fields(%archive_id))]
    async fn restore_long(
        &self,
        archive_id: ArchiveId,
        keep: Duration,
        head: IncomingHead,
        turns: BoxStream<'static, RepositoryResult<NewTurn>>,
    ) -> RepositoryResult<Restored> {
        self.restore_one(archive_id, keep, head, turns).await
    }
}
