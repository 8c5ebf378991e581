//! Retention in SQLite.

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::dsl::{not, sql};
use diesel::expression::SqlLiteral;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};
use diesel::sqlite::SqliteConnection;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::retention::{ABANDONED_AFTER, LONGEST_WAIT, turn_of};
use lcs_domain::{
    Actor, AgentId, ArchiveId, ConversationId, ConversationStatus, Keeping, PageLimit, PurgeReason,
    PurgeReport, PurgedConversation, RetentionPolicy, RetentionRepository, UserId,
};

use super::error::Failure;
use super::limited::limited;
use super::row::{BlobUuid, Cell, Micros, Reader};
use super::schema::conversations::dsl;
use super::schema::{conversation_tombstones, conversations, holds, requests, restorations, retention_pace};
use super::{Sqlite, audit, retention_override};
use crate::tombstone;

#[derive(Insertable)]
#[diesel(table_name = conversation_tombstones, treat_none_as_default_value = false)]
struct Tombstone<'a> {
    conversation_id: BlobUuid,
    user_hash: &'a [u8],
    reason: &'a str,
    at: Micros,
    archive_id: Option<BlobUuid>,
}

/// What a conversation has to be to go now.
pub(super) fn due(policy: RetentionPolicy, now: DateTime<Utc>) -> SqlLiteral<Bool> {
    let cut_off = |status| {
        let idle = TimeDelta::from_std(policy.idle(status)).unwrap_or(TimeDelta::MAX);
        now.checked_sub_signed(idle).unwrap_or(DateTime::<Utc>::MIN_UTC).timestamp_micros()
    };
    let at_once = i32::from(policy.idle(ConversationStatus::Deleted).is_zero());
    let (expires, now) = (i32::from(policy.expires()), now.timestamp_micros());
    sql(&format!(
        "CASE WHEN conversations.status = 'deleted' THEN {at_once} OR conversations.updated_at < {deleted} \
              WHEN NOT {expires} OR EXISTS (SELECT 1 FROM restorations r \
                   WHERE r.conversation_id = conversations.conversation_id AND r.keep_until > {now}) THEN 0 \
              WHEN EXISTS (SELECT 1 FROM retention_overrides o WHERE o.user_id = conversations.user_id) \
              THEN conversations.updated_at < (SELECT {now} - o.idle_days * 86400000000 \
                   FROM retention_overrides o WHERE o.user_id = conversations.user_id) \
              WHEN conversations.status = 'archived' THEN conversations.updated_at < {archived} \
              ELSE conversations.updated_at < {active} END",
        deleted = cut_off(ConversationStatus::Deleted),
        archived = cut_off(ConversationStatus::Archived),
        active = cut_off(ConversationStatus::Active),
    ))
}

/// Whether a hold is on a conversation.
pub(super) fn is_held() -> SqlLiteral<Bool> {
    sql("EXISTS (SELECT 1 FROM holds h WHERE h.released_at IS NULL AND h.user_id = conversations.user_id \
         AND (h.conversation_id IS NULL OR h.conversation_id = conversations.conversation_id))")
}

/// Removes one conversation and leaves its tombstone, which names the archive that holds it.
pub(super) fn purge(
    connection: &mut SqliteConnection,
    purged: PurgedConversation,
    archive_id: Option<ArchiveId>,
    now: DateTime<Utc>,
) -> Result<PurgedConversation, Failure> {
    let tombstone = Tombstone {
        conversation_id: purged.conversation_id.into(),
        user_hash: &tombstone::user_hash(purged.user_id),
        reason: purged.reason.as_str(),
        at: now.into(),
        archive_id: archive_id.map(BlobUuid::from),
    };
    diesel::insert_into(conversation_tombstones::table).values(tombstone).execute(connection)?;
    diesel::delete(requests::table)
        .filter(requests::conversation_id.eq(BlobUuid::from(purged.conversation_id)))
        .filter(requests::user_id.eq(BlobUuid::from(purged.user_id)))
        .execute(connection)?;
    diesel::delete(conversations::table.find(BlobUuid::from(purged.conversation_id))).execute(connection)?;
    Ok(purged)
}

/// Until when this conversation of this user's is kept, where it came back from an archive.
fn restored(
    connection: &mut SqliteConnection,
    user_id: UserId,
    conversation_id: ConversationId,
) -> Result<Option<DateTime<Utc>>, Failure> {
    let row: Option<(Cell<Vec<u8>>, Cell<i64>)> = restorations::table
        .inner_join(conversations::table)
        .filter(restorations::conversation_id.eq(BlobUuid::from(conversation_id)))
        .filter(conversations::user_id.eq(BlobUuid::from(user_id)))
        .select((restorations::conversation_id, restorations::keep_until))
        .get_result(connection)
        .optional()?;
    let Some((key, until)) = row else { return Ok(None) };
    let reader = Reader::new("restorations", "conversation_id", key)?;
    Ok(Some(reader.time("keep_until", until)?))
}

#[async_trait]
impl RetentionRepository for Sqlite {
    #[tracing::instrument(name = "db.retention.count_due", skip_all)]
    async fn count_due(&self, policy: RetentionPolicy) -> RepositoryResult<u64> {
        let now = self.database.now();
        let count: i64 = self
            .database
            .read(move |connection| {
                let due = dsl::conversations.filter(due(policy, now)).filter(not(is_held()));
                Ok(due.count().get_result(connection)?)
            })
            .await?;
        Ok(count.unsigned_abs())
    }

    #[tracing::instrument(name = "db.retention.count_held", skip_all)]
    async fn count_held(&self, policy: RetentionPolicy) -> RepositoryResult<u64> {
        let now = self.database.now();
        let count: i64 = self
            .database
            .read(move |connection| {
                let due = dsl::conversations.filter(due(policy, now)).filter(is_held());
                Ok(due.count().get_result(connection)?)
            })
            .await?;
        Ok(count.unsigned_abs())
    }

    /// Selected and removed in one transaction that holds the write lock: nothing wakes up in between. Whoever writes
    /// goes before a second batch, which has no limit to its wait for the first.
    #[tracing::instrument(name = "db.retention.purge_batch", skip_all)]
    async fn purge_batch(&self, policy: RetentionPolicy, limit: PageLimit) -> RepositoryResult<PurgeReport> {
        type Row = (Cell<Vec<u8>>, Cell<Vec<u8>>, Cell<Vec<u8>>, Cell<String>, Cell<i64>);
        let actor = self.actor_or(Actor::retention);
        let _alone = self.purging.lock().await;
        self.database
            .write("purge", move |connection, now| {
                let due = dsl::conversations
                    .filter(due(policy, now))
                    .filter(not(is_held()))
                    .order((dsl::updated_at, dsl::conversation_id))
                    .select((
                        dsl::conversation_id,
                        dsl::user_id,
                        dsl::agent_id,
                        dsl::status,
                        dsl::turn_count,
                    ));
                let due: Vec<Row> = limited(due, limit.get().into()).load(connection)?;
                let (mut purged, mut turns) = (Vec::with_capacity(due.len()), 0);
                for (key, user_id, agent_id, status, turn_count) in due {
                    let reader = Reader::new("conversations", "conversation_id", key)?;
                    turns += u64::from(reader.count("turn_count", turn_count)?);
                    let deleted =
                        reader.parsed::<ConversationStatus>("status", status)? == ConversationStatus::Deleted;
                    let conversation = PurgedConversation {
                        conversation_id: ConversationId::from_uuid(reader.key()),
                        user_id: UserId::from_uuid(reader.uuid("user_id", user_id)?),
                        agent_id: AgentId::from_uuid(reader.uuid("agent_id", agent_id)?),
                        reason: if deleted { PurgeReason::Deleted } else { PurgeReason::Expired },
                    };
                    purged.push(purge(connection, conversation, None, now)?);
                }
                if let Some(event) = crate::audit::purge(actor, &purged, turns) {
                    audit::record(connection, event, now)?;
                }
                Ok(PurgeReport { purged, busy: false })
            })
            .await
    }

    #[tracing::instrument(name = "db.retention.take_turn", skip_all)]
    async fn take_turn(&self, count: u32, per_second: NonZeroU32) -> RepositoryResult<Duration> {
        self.database
            .write("turn", move |connection, now| {
                let row: Option<(Cell<i64>, Cell<i64>)> = retention_pace::table
                    .select((retention_pace::is_only, retention_pace::next_at))
                    .get_result(connection)
                    .optional()?;
                let next_at = row.map(|(_, next_at)| next_at.get()).transpose();
                let next_at = next_at.unwrap_or_default().and_then(DateTime::from_timestamp_micros);
                let at = next_at.unwrap_or(now).clamp(now, now + LONGEST_WAIT);
                let next_at = retention_pace::next_at.eq(Micros::from(at + turn_of(count, per_second)));
                diesel::replace_into(retention_pace::table)
                    .values((retention_pace::is_only.eq(1), next_at))
                    .execute(connection)?;
                Ok((at - now).to_std().unwrap_or_default())
            })
            .await
    }

    #[tracing::instrument(name = "db.retention.purge_requests", skip_all)]
    async fn purge_requests(&self, limit: PageLimit) -> RepositoryResult<u64> {
        const STALE: &str = "DELETE FROM requests WHERE request_id IN (SELECT request_id FROM requests r \
                             WHERE r.lease_until < ? AND NOT EXISTS (SELECT 1 FROM conversation_turns t \
                             WHERE t.turn_id = r.turn_id AND t.conversation_id = r.conversation_id \
                             AND t.user_id = r.user_id) LIMIT abs(?))";
        self.database
            .write("purge", move |connection, now| {
                let removed = diesel::sql_query(STALE)
                    .bind::<BigInt, _>(Micros::from(now - ABANDONED_AFTER))
                    .bind::<BigInt, _>(i64::from(limit.get()))
                    .execute(connection)?;
                Ok(removed as u64)
            })
            .await
    }

    #[tracing::instrument(name = "db.retention.keeping", skip_all, fields(%user_id))]
    async fn keeping(
        &self,
        user_id: UserId,
        conversations: Vec<ConversationId>,
    ) -> RepositoryResult<Keeping> {
        self.database
            .read_snapshot(move |connection| {
                let own = retention_override::find(connection, user_id)?.map(|own| own.keep);
                let held: Vec<Option<Cell<Vec<u8>>>> = holds::table
                    .filter(holds::released_at.is_null().and(holds::user_id.eq(BlobUuid::from(user_id))))
                    .select(holds::conversation_id)
                    .load(connection)?;
                let mut keeping = Keeping { own, ..Keeping::default() };
                for id in &conversations {
                    keeping.restored.extend(restored(connection, user_id, *id)?.map(|until| (*id, until)));
                }
                let held: Vec<_> = held.into_iter().map(|id| id.and_then(|id| id.get().ok())).collect();
                keeping.held.extend(conversations.into_iter().filter(|asked| {
                    held.iter().any(|id| id.as_ref().is_none_or(|id| id == asked.as_uuid().as_bytes()))
                }));
                Ok(keeping)
            })
            .await
    }
}
