//! Archives in PostgreSQL: which holds what. What changes that runs under the lock of holds, so that one follows the
//! other.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::sql_types::{
    Array, BigInt, Bool, Bytea, Double, Integer, Nullable, Text as SqlText, Timestamptz, Uuid as SqlUuid,
};
use futures_util::stream::BoxStream;
use lcs_domain::archive::{
    Archive, ArchiveContent, ArchiveState, ArchivedHead, Forgotten, Restored, Tombstone, UserHash,
};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::{IncomingConversation, IncomingHead};
use lcs_domain::{
    Actor, ArchiveId, ArchiveRepository, ConversationId, ConversationStatus, HoldId, NewTurn, PageLimit,
    RepositoryError, RetentionPolicy,
};
use uuid::Uuid;

use super::Postgres;
use super::connect::Purpose;
use super::error::Fault;
use super::locked::Locked;
use super::operation::{Effect, detached};
use super::retention::{due, held, purge_reason, seconds};
use super::row::{count_bind, no_row, revision_bind};
use super::statement::{Single, statement};
use super::transfer::Origin;
use crate::row::Row;

statement! {
    /// What may be archived.
    Due(concat!(
        "-- $1 active_seconds  $2 archived_seconds  $3 deleted_seconds  $4 expires  $5 limit  $6 except\n\
         SELECT c.conversation_id FROM conversations c LEFT JOIN retention_overrides o ON o.user_id = c.user_id\n\
         WHERE c.status <> 'deleted' AND ", due!(), " AND NOT ", held!(),
        " AND c.conversation_id <> ALL ($6) LIMIT $5"
    )) -> SqlUuid {
        active: f64 as Double,
        archived: f64 as Double,
        deleted: f64 as Double,
        expires: bool as Bool,
        limit: i64 as BigInt,
        except: Vec<Uuid> as Array<SqlUuid>,
    }
}

statement! {
    /// Begins an archive.
    Begin(include_str!("archive/begin.sql")) -> Bool {
        archive_id: Uuid as SqlUuid,
        unless_within_seconds: f64 as Double,
    }
}

statement! {
    /// Removes what is archived: whether the archive is begun, and how many.
    Remove(concat!(
        include_str!("archive/remove_begin.sql"), due!(), "       AND NOT ", held!(), "\n",
        include_str!("archive/remove_end.sql"),
    )) -> (Bool, BigInt) {
        active_seconds: f64 as Double,
        archived_seconds: f64 as Double,
        deleted_seconds: f64 as Double,
        expires: bool as Bool,
        archive_id: Uuid as SqlUuid,
        conversation_ids: Vec<Uuid> as Array<SqlUuid>,
        turn_counts: Vec<i32> as Array<Integer>,
        state_revisions: Vec<i64> as Array<BigInt>,
        updated_at: Vec<DateTime<Utc>> as Array<Timestamptz>,
        actor: String as SqlText,
    }
}

statement! {
    /// Closes an archive.
    Close(include_str!("archive/close.sql")) -> SqlText {
        archive_id: Uuid as SqlUuid,
        conversations: i64 as BigInt,
        turns: i64 as BigInt,
        bytes: i64 as BigInt,
    }
}

statement! {
    /// Puts one archive in another's place.
    Replace(include_str!("archive/replace.sql")) -> SqlText {
        old: Uuid as SqlUuid,
        new: Uuid as SqlUuid,
        conversation_ids: Vec<Uuid> as Array<SqlUuid>,
        conversations: i64 as BigInt,
        turns: i64 as BigInt,
        bytes: i64 as BigInt,
    }
}

statement! {
    /// Gives an archive up.
    GiveUp(include_str!("archive/give_up.sql")) -> SqlText {
        archive_id: Uuid as SqlUuid,
    }
}

statement! {
    /// Forgets it.
    Forget(
        "-- $1 archive_id\nWITH gone AS (DELETE FROM archives WHERE archive_id = $1 AND state = 'given_up') SELECT true"
    ) -> Bool {
        archive_id: Uuid as SqlUuid,
    }
}

/// A page of archives.
type Columns = (SqlUuid, SqlText, Timestamptz, BigInt, BigInt, BigInt);

statement! {
    /// One archive.
    Find(
        "-- $1 archive_id\nSELECT archive_id, state, begun_at, conversations, turns, bytes FROM archives \
         WHERE archive_id = $1"
    ) -> Columns {
        archive_id: Uuid as SqlUuid,
    }
}

statement! {
    /// A page of archives: of all, or of those that are not complete.
    List(
        "-- $1 after  $2 limit  $3 unfinished\nSELECT archive_id, state, begun_at, conversations, turns, bytes \
         FROM archives WHERE ($1 IS NULL OR archive_id > $1) AND (NOT $3 OR state <> 'complete') \
         ORDER BY archive_id LIMIT $2"
    ) -> Columns {
        after: Option<Uuid> as Nullable<SqlUuid>,
        limit: i64 as BigInt,
        unfinished: bool as Bool,
    }
}

statement! {
    /// What an archive holds: all of it, or what may come back.
    Archived(
        "-- $1 archive_id  $2 expired\nSELECT conversation_id FROM conversation_tombstones WHERE archive_id = $1 \
         AND (NOT $2 OR reason = 'expired') ORDER BY conversation_id"
    ) -> SqlUuid {
        archive_id: Uuid as SqlUuid,
        expired: bool as Bool,
    }
}

statement! {
    /// What is left of a conversation.
    Left(
        "-- $1 conversation_id\nSELECT reason, archive_id FROM conversation_tombstones WHERE conversation_id = $1"
    ) -> (SqlText, Nullable<SqlUuid>) {
        conversation_id: Uuid as SqlUuid,
    }
}

statement! {
    /// Whether it came back, and was not deleted since.
    IsRestored(
        "-- $1 conversation_id\nSELECT EXISTS (SELECT FROM restorations JOIN conversations USING (conversation_id) \
         WHERE conversation_id = $1 AND status <> 'deleted')"
    ) -> Bool {
        conversation_id: Uuid as SqlUuid,
    }
}

statement! {
    /// The archives from which something of a user may come back.
    OfUser(
        "-- $1 user_hash\nSELECT DISTINCT archive_id FROM conversation_tombstones WHERE archive_id IS NOT NULL \
         AND reason = 'expired' AND user_hash = $1 ORDER BY archive_id"
    ) -> SqlUuid {
        user_hash: Vec<u8> as Bytea,
    }
}

statement! {
    /// No archive holds them any more.
    Leave(include_str!("archive/leave.sql")) -> (BigInt, Nullable<SqlUuid>, Nullable<SqlText>) {
        conversation_ids: Vec<Uuid> as Array<SqlUuid>,
        user_hash: Option<Vec<u8>> as Nullable<Bytea>,
    }
}

#[derive(diesel::Queryable)]
struct ArchiveRow {
    archive_id: Uuid,
    state: String,
    begun_at: DateTime<Utc>,
    conversations: i64,
    turns: i64,
    bytes: i64,
}

impl TryFrom<ArchiveRow> for Archive {
    type Error = lcs_domain::RepositoryError;

    fn try_from(row: ArchiveRow) -> RepositoryResult<Self> {
        Ok(Self {
            archive_id: ArchiveId::from_uuid(row.archive_id),
            state: state(row.archive_id, &row.state)?,
            begun_at: row.begun_at,
            content: ArchiveContent {
                conversations: row.conversations.unsigned_abs(),
                turns: row.turns.unsigned_abs(),
                bytes: row.bytes.unsigned_abs(),
            },
        })
    }
}

fn state(archive_id: Uuid, word: &str) -> RepositoryResult<ArchiveState> {
    let row = Row { table: "archives", key: archive_id };
    word.parse().map_err(|_| row.inconsistent("state", "not a known state"))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn ids(found: Vec<Uuid>) -> Vec<ConversationId> {
    found.into_iter().map(ConversationId::from_uuid).collect()
}

impl Postgres {
    /// Runs what changes archives, under the lock that all of it has.
    async fn change<U, Q>(&self, key: ArchiveId, query: Q) -> RepositoryResult<Option<U>>
    where
        U: Send + 'static,
        Q: Single<U> + Send + 'static,
    {
        let (store, key) = (self.clone(), Uuid::from(key));
        detached(key, async move {
            let answer =
                store.run(Purpose::Maintenance, Effect::Writes(key), &Locked::archival(&query)).await;
            Ok(answer.map_err(Fault::into_error)?.one())
        })
        .await
    }

    async fn ask<U: Send>(&self, query: &impl super::statement::Statement<U>) -> RepositoryResult<Vec<U>> {
        let answer = self.run::<U>(Purpose::Maintenance, Effect::Reads, query).await;
        Ok(answer.map_err(Fault::into_error)?.rows)
    }

    async fn page(
        &self,
        after: Option<ArchiveId>,
        limit: PageLimit,
        unfinished: bool,
    ) -> RepositoryResult<Vec<Archive>> {
        let query = List { after: after.map(Uuid::from), limit: limit.get().into(), unfinished };
        let rows: Vec<ArchiveRow> = self.ask(&query).await?;
        rows.into_iter().map(Archive::try_from).collect()
    }
}

#[async_trait]
impl ArchiveRepository for Postgres {
    #[tracing::instrument(name = "db.archive.due_for_archive", skip_all)]
    async fn due_for_archive(
        &self,
        policy: RetentionPolicy,
        except: Vec<ConversationId>,
        limit: u32,
    ) -> RepositoryResult<Vec<ConversationId>> {
        let query = Due {
            active: seconds(policy, ConversationStatus::Active),
            archived: seconds(policy, ConversationStatus::Archived),
            deleted: seconds(policy, ConversationStatus::Deleted),
            expires: policy.expires(),
            limit: limit.into(),
            except: except.into_iter().map(Uuid::from).collect(),
        };
        self.ask(&query).await.map(ids)
    }

    #[tracing::instrument(name = "db.archive.begin_archive", skip_all, fields(%archive_id))]
    async fn begin_archive(&self, archive_id: ArchiveId, unless_within: Duration) -> RepositoryResult<bool> {
        let query =
            Begin { archive_id: archive_id.into(), unless_within_seconds: unless_within.as_secs_f64() };
        self.change(archive_id, query).await?.ok_or_else(no_row)
    }

    #[tracing::instrument(name = "db.archive.remove_archived", skip_all, fields(%archive_id))]
    async fn remove_archived(
        &self,
        archive_id: ArchiveId,
        policy: RetentionPolicy,
        heads: Vec<ArchivedHead>,
    ) -> RepositoryResult<Option<u64>> {
        let query = Remove {
            active_seconds: seconds(policy, ConversationStatus::Active),
            archived_seconds: seconds(policy, ConversationStatus::Archived),
            deleted_seconds: seconds(policy, ConversationStatus::Deleted),
            expires: policy.expires(),
            archive_id: archive_id.into(),
            conversation_ids: heads.iter().map(|head| head.conversation_id.into()).collect(),
            turn_counts: heads.iter().map(|head| count_bind(head.turn_count)).collect(),
            state_revisions: heads.iter().map(|head| revision_bind(head.state_revision)).collect(),
            updated_at: heads.iter().map(|head| head.updated_at).collect(),
            actor: self.actor_or(Actor::retention),
        };
        let (is_begun, removed): (bool, i64) = self.change(archive_id, query).await?.ok_or_else(no_row)?;
        Ok(is_begun.then_some(removed.unsigned_abs()))
    }

    #[tracing::instrument(name = "db.archive.close_archive", skip_all, fields(%archive_id))]
    async fn close_archive(
        &self,
        archive_id: ArchiveId,
        content: ArchiveContent,
    ) -> RepositoryResult<Option<ArchiveState>> {
        let query = Close {
            archive_id: archive_id.into(),
            conversations: signed(content.conversations),
            turns: signed(content.turns),
            bytes: signed(content.bytes),
        };
        let word: Option<String> = self.change(archive_id, query).await?;
        word.map(|word| state(archive_id.into(), &word)).transpose()
    }

    #[tracing::instrument(name = "db.archive.replace_archive", skip_all, fields(%old, %new))]
    async fn replace_archive(
        &self,
        old: ArchiveId,
        new: ArchiveId,
        conversations: Vec<ConversationId>,
        content: ArchiveContent,
    ) -> RepositoryResult<Option<ArchiveState>> {
        let query = Replace {
            old: old.into(),
            new: new.into(),
            conversation_ids: conversations.into_iter().map(Uuid::from).collect(),
            conversations: signed(content.conversations),
            turns: signed(content.turns),
            bytes: signed(content.bytes),
        };
        let word: Option<String> = self.change(new, query).await?;
        word.map(|word| state(new.into(), &word)).transpose()
    }

    #[tracing::instrument(name = "db.archive.give_up_archive", skip_all, fields(%archive_id))]
    async fn give_up_archive(&self, archive_id: ArchiveId) -> RepositoryResult<Option<ArchiveState>> {
        let word: Option<String> = self.change(archive_id, GiveUp { archive_id: archive_id.into() }).await?;
        word.map(|word| state(archive_id.into(), &word)).transpose()
    }

    #[tracing::instrument(name = "db.archive.forget_archive", skip_all, fields(%archive_id))]
    async fn forget_archive(&self, archive_id: ArchiveId) -> RepositoryResult<()> {
        let _: Option<bool> = self.change(archive_id, Forget { archive_id: archive_id.into() }).await?;
        Ok(())
    }

    #[tracing::instrument(name = "db.archive.find_archive", skip_all, fields(%archive_id))]
    async fn find_archive(&self, archive_id: ArchiveId) -> RepositoryResult<Option<Archive>> {
        let rows: Vec<ArchiveRow> = self.ask(&Find { archive_id: archive_id.into() }).await?;
        rows.into_iter().next().map(Archive::try_from).transpose()
    }

    #[tracing::instrument(name = "db.archive.list_archives", skip_all)]
    async fn list_archives(
        &self,
        after: Option<ArchiveId>,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<Archive>> {
        self.page(after, limit, false).await
    }

    #[tracing::instrument(name = "db.archive.unfinished_archives", skip_all)]
    async fn unfinished_archives(
        &self,
        after: Option<ArchiveId>,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<Archive>> {
        self.page(after, limit, true).await
    }

    #[tracing::instrument(name = "db.archive.archived_in", skip_all, fields(%archive_id))]
    async fn archived_in(&self, archive_id: ArchiveId) -> RepositoryResult<Vec<ConversationId>> {
        self.ask(&Archived { archive_id: archive_id.into(), expired: false }).await.map(ids)
    }

    #[tracing::instrument(name = "db.archive.restorable_in", skip_all, fields(%archive_id))]
    async fn restorable_in(&self, archive_id: ArchiveId) -> RepositoryResult<Vec<ConversationId>> {
        self.ask(&Archived { archive_id: archive_id.into(), expired: true }).await.map(ids)
    }

    #[tracing::instrument(name = "db.archive.tombstone", skip_all, fields(%conversation_id))]
    async fn tombstone(&self, conversation_id: ConversationId) -> RepositoryResult<Option<Tombstone>> {
        let key = Uuid::from(conversation_id);
        let rows: Vec<(String, Option<Uuid>)> = self.ask(&Left { conversation_id: key }).await?;
        let Some((reason, archive_id)) = rows.into_iter().next() else { return Ok(None) };
        let reason = purge_reason(key, &reason)?;
        Ok(Some(Tombstone { reason, archive_id: archive_id.map(ArchiveId::from_uuid) }))
    }

    #[tracing::instrument(name = "db.archive.is_restored", skip_all, fields(%conversation_id))]
    async fn is_restored(&self, conversation_id: ConversationId) -> RepositoryResult<bool> {
        let found: Vec<bool> = self.ask(&IsRestored { conversation_id: conversation_id.into() }).await?;
        found.into_iter().next().ok_or_else(no_row)
    }

    #[tracing::instrument(name = "db.archive.archives_of_user", skip_all)]
    async fn archives_of_user(&self, user: UserHash) -> RepositoryResult<Vec<ArchiveId>> {
        let found: Vec<Uuid> = self.ask(&OfUser { user_hash: user.0.to_vec() }).await?;
        Ok(found.into_iter().map(ArchiveId::from_uuid).collect())
    }

    #[tracing::instrument(name = "db.archive.leave_archives", skip_all)]
    async fn leave_archives(&self, what: Forgotten) -> RepositoryResult<u64> {
        let query = match what {
            Forgotten::Conversations(ids) => {
                Leave { conversation_ids: ids.into_iter().map(Uuid::from).collect(), user_hash: None }
            }
            Forgotten::User(user) => Leave { conversation_ids: Vec::new(), user_hash: Some(user.0.to_vec()) },
        };
        let key = ArchiveId::from_uuid(Uuid::nil());
        let answer: Option<(i64, Option<Uuid>, Option<String>)> = self.change(key, query).await?;
        match answer.ok_or_else(no_row)? {
            (_, Some(hold_id), Some(reason)) => {
                Err(RepositoryError::Held { hold_id: HoldId::from_uuid(hold_id), reason })
            }
            (count, ..) => Ok(count.unsigned_abs()),
        }
    }

    #[tracing::instrument(name = "db.archive.restore", skip_all, fields(%archive_id, conversations = conversations.len()))]
    async fn restore(
        &self,
        archive_id: ArchiveId,
        keep: Duration,
        conversations: Vec<IncomingConversation>,
    ) -> RepositoryResult<Vec<Restored>> {
        let store = self.clone();
        let origin = Origin { archive_id, keep };
        detached(archive_id.into(), async move { store.restore_all(origin, &conversations).await }).await
    }

    #[tracing::instrument(name = "db.archive.restore_long", skip_all, fields(%archive_id))]
    async fn restore_long(
        &self,
        archive_id: ArchiveId,
        keep: Duration,
        head: IncomingHead,
        turns: BoxStream<'static, RepositoryResult<NewTurn>>,
    ) -> RepositoryResult<Restored> {
        self.restore_piece_by_piece(Origin { archive_id, keep }, head, turns).await
    }
}
