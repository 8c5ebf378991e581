//! Retention in PostgreSQL. It runs on connections of its own, with the time limit of maintenance.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::sql_types::{
    Array, BigInt, Bool, Double, Integer, Nullable, Text as SqlText, Timestamptz, Uuid as SqlUuid,
};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::retention::{ABANDONED_AFTER, LONGEST_WAIT, turn_of};
use lcs_domain::{
    Actor, AgentId, ConversationId, ConversationStatus, Keeping, PageLimit, PurgeReason, PurgeReport,
    PurgedConversation, RetentionPolicy, RetentionRepository, UserId,
};
use uuid::Uuid;

use super::Postgres;
use super::connect::Purpose;
use super::error::Fault;
use super::locked::Locked;
use super::operation::{Effect, detached};
use super::retention_override::keep;
use super::row::no_row;
use super::statement::statement;
use crate::row::Row;

/// What a conversation `c` has to be to go, where `o` is its user's own retention.
macro_rules! due {
    () => {
        include_str!("retention/due.sql")
    };
}
pub(super) use due;

/// Whether a hold is on `c`.
macro_rules! held {
    () => {
        include_str!("retention/held.sql")
    };
}
pub(super) use held;

statement! {
    /// How many conversations may go, and how many may not because they are held.
    Count(concat!(
        "-- $1 active_seconds  $2 archived_seconds  $3 deleted_seconds  $4 expires\n\
         SELECT count(*) FILTER (WHERE NOT ", held!(), "), count(*) FILTER (WHERE ", held!(), ")\n\
         FROM conversations c LEFT JOIN retention_overrides o ON o.user_id = c.user_id WHERE ", due!(),
    )) -> (BigInt, BigInt) {
        active: f64 as Double,
        archived: f64 as Double,
        deleted: f64 as Double,
        expires: bool as Bool,
    }
}

statement! {
    /// Removes a batch of conversations: whether a lane was free, and each of them.
    Purge(concat!(
        include_str!("retention/purge_begin.sql"), due!(), "       AND NOT ", held!(),
        include_str!("retention/purge_end.sql"),
    )) -> (
        Bool,
        Nullable<BigInt>,
        Nullable<SqlUuid>,
        Nullable<SqlUuid>,
        Nullable<SqlUuid>,
        Nullable<SqlText>,
    ) {
        active_seconds: f64 as Double,
        archived_seconds: f64 as Double,
        deleted_seconds: f64 as Double,
        expires: bool as Bool,
        limit: i64 as BigInt,
        from_page: i64 as BigInt,
        actor: String as SqlText,
    }
}

statement! {
    /// What keeps conversations besides the policy.
    KeptBy(include_str!("retention/keeping.sql")) -> (
        Bool,
        Nullable<Integer>,
        Array<SqlUuid>,
        Array<SqlUuid>,
        Array<Timestamptz>,
    ) {
        user_id: Uuid as SqlUuid,
        conversation_ids: Vec<Uuid> as Array<SqlUuid>,
    }
}

statement! {
    /// Takes the next turn at a pace: in how many seconds it comes.
    TakeTurn(include_str!("retention/take_turn.sql")) -> Double {
        seconds: f64 as Double,
        longest_wait: f64 as Double,
    }
}

statement! {
    /// Removes a batch of requests.
    PurgeRequests(include_str!("retention/purge_requests.sql")) -> BigInt {
        ended_seconds: f64 as Double,
        limit: i64 as BigInt,
    }
}

/// Whether a lane was free, the last page that was looked at, and a conversation that was removed; all
/// `None` where none was.
type PurgedRow = (bool, Option<i64>, Option<Uuid>, Option<Uuid>, Option<Uuid>, Option<String>);

/// Whether the user has a retention of their own, how many days that is, what is held, and what was restored, with
/// the times until which it is kept.
type KeptRow = (bool, Option<i32>, Vec<Uuid>, Vec<Uuid>, Vec<DateTime<Utc>>);

/// Where in the table the next batch begins to look: a run would else read all that it has removed again, for
/// each of its batches. It is nothing but a hint: a batch that is not full has looked at the whole table. Where two
/// batches are under way, each begins where the one that ended last came to, and passes over what the other one has locked.
#[derive(Debug, Clone, Default)]
pub(super) struct PurgeFrom(Arc<AtomicI64>);

#[async_trait]
impl RetentionRepository for Postgres {
    #[tracing::instrument(name = "db.retention.count_due", skip_all)]
    async fn count_due(&self, policy: RetentionPolicy) -> RepositoryResult<u64> {
        Ok(self.count(policy).await?.0)
    }

    #[tracing::instrument(name = "db.retention.count_held", skip_all)]
    async fn count_held(&self, policy: RetentionPolicy) -> RepositoryResult<u64> {
        Ok(self.count(policy).await?.1)
    }

    #[tracing::instrument(name = "db.retention.purge_batch", skip_all, fields(limit = limit.get()))]
    async fn purge_batch(&self, policy: RetentionPolicy, limit: PageLimit) -> RepositoryResult<PurgeReport> {
        let store = self.clone();
        // A purge has no key and needs none: what is gone is gone, and the next batch finds the rest.
        detached(Uuid::nil(), async move {
            let mut report = PurgeReport::default();
            let limit = i64::from(limit.get());
            let mut from_page = store.purge_from.0.load(Ordering::Relaxed);
            loop {
                let left = limit - i64::try_from(report.purged.len()).unwrap_or(limit);
                let query = Purge {
                    active_seconds: seconds(policy, ConversationStatus::Active),
                    archived_seconds: seconds(policy, ConversationStatus::Archived),
                    deleted_seconds: seconds(policy, ConversationStatus::Deleted),
                    expires: policy.expires(),
                    limit: left,
                    from_page,
                    actor: store.actor_or(Actor::retention),
                };
                let last_page = store.purge_once(&query, &mut report).await.inspect_err(|_| {
                    let removed = report.purged.len();
                    if removed > 0 {
                        tracing::warn!(
                            removed,
                            "a batch of purging failed: what it had removed is in no report"
                        );
                    }
                })?;
                if report.busy {
                    return Ok(report);
                }
                let is_full = report.purged.len() >= usize::try_from(limit).unwrap_or_default();
                let next = last_page.filter(|_| is_full).unwrap_or_default();
                store.purge_from.0.store(next, Ordering::Relaxed);
                if is_full || from_page == 0 {
                    return Ok(report);
                }
                // Whatever another batch says by now of where to begin.
                from_page = 0;
            }
        })
        .await
    }

    #[tracing::instrument(name = "db.retention.take_turn", skip_all)]
    async fn take_turn(&self, count: u32, per_second: NonZeroU32) -> RepositoryResult<Duration> {
        let query = TakeTurn {
            seconds: turn_of(count, per_second).as_secs_f64(),
            longest_wait: LONGEST_WAIT.as_secs_f64(),
        };
        let store = self.clone();
        // One that is taken twice is waited for longer, and nothing else.
        detached(Uuid::nil(), async move {
            let answer = store.run::<f64>(Purpose::Maintenance, Effect::Writes(Uuid::nil()), &query).await;
            let seconds = answer.map_err(Fault::into_error)?.one().ok_or_else(no_row)?;
            Ok(Duration::try_from_secs_f64(seconds).unwrap_or_default())
        })
        .await
    }

    #[tracing::instrument(name = "db.retention.purge_requests", skip_all, fields(limit = limit.get()))]
    async fn purge_requests(&self, limit: PageLimit) -> RepositoryResult<u64> {
        let query = PurgeRequests { ended_seconds: ABANDONED_AFTER.as_secs_f64(), limit: limit.get().into() };
        let store = self.clone();
        detached(Uuid::nil(), async move {
            let answer = store.run::<i64>(Purpose::Maintenance, Effect::Writes(Uuid::nil()), &query).await;
            let count = answer.map_err(Fault::into_error)?.one().ok_or_else(no_row)?;
            Ok(u64::try_from(count).unwrap_or_default())
        })
        .await
    }

    #[tracing::instrument(name = "db.retention.keeping", skip_all, fields(%user_id))]
    async fn keeping(
        &self,
        user_id: UserId,
        conversations: Vec<ConversationId>,
    ) -> RepositoryResult<Keeping> {
        let conversation_ids = conversations.into_iter().map(Uuid::from).collect();
        let query = KeptBy { user_id: user_id.into(), conversation_ids };
        let rows: Vec<KeptRow> = self.read(user_id, &query).await?;
        let (has_own, idle_days, held, restored, times) = rows.into_iter().next().ok_or_else(no_row)?;
        let own = has_own.then(|| keep(user_id.into(), idle_days)).transpose()?;
        let restored = restored.into_iter().map(ConversationId::from_uuid).zip(times).collect();
        Ok(Keeping { own, held: held.into_iter().map(ConversationId::from_uuid).collect(), restored })
    }
}

/// How long a conversation of this status may be idle.
pub(super) fn seconds(policy: RetentionPolicy, status: ConversationStatus) -> f64 {
    policy.idle(status).as_secs_f64()
}

impl Postgres {
    /// How many may go, and how many would but for a hold.
    async fn count(&self, policy: RetentionPolicy) -> RepositoryResult<(u64, u64)> {
        let query = Count {
            active: seconds(policy, ConversationStatus::Active),
            archived: seconds(policy, ConversationStatus::Archived),
            deleted: seconds(policy, ConversationStatus::Deleted),
            expires: policy.expires(),
        };
        let answer = self.run::<(i64, i64)>(Purpose::Maintenance, Effect::Reads, &query).await;
        let (due, held) = answer.map_err(Fault::into_error)?.one().unwrap_or_default();
        Ok((due.unsigned_abs(), held.unsigned_abs()))
    }

    /// Removes what one statement can, and adds it to `report`: gives the last page that it looked at.
    async fn purge_once(&self, query: &Purge, report: &mut PurgeReport) -> RepositoryResult<Option<i64>> {
        let effect = Effect::Writes(Uuid::nil());
        let answer = self.run::<PurgedRow>(Purpose::Maintenance, effect, &Locked::purge(query)).await;
        let answer = answer.map_err(Fault::into_error)?;
        if answer.repeated {
            tracing::warn!("a batch of purging was run again: what the lost one removed is in no report");
        }
        let mut last_page = None;
        for row in answer.rows {
            report.busy = !row.0;
            last_page = row.1;
            report.purged.extend(purged(row)?);
        }
        Ok(last_page)
    }
}

/// The reason that a tombstone gives.
pub(super) fn purge_reason(conversation_id: Uuid, reason: &str) -> RepositoryResult<PurgeReason> {
    let row = Row { table: "conversation_tombstones", key: conversation_id };
    reason.parse().map_err(|_| row.inconsistent("reason", "not a known reason"))
}

fn purged(row: PurgedRow) -> RepositoryResult<Option<PurgedConversation>> {
    let (_, _, Some(conversation_id), Some(user_id), Some(agent_id), Some(reason)) = row else {
        return Ok(None);
    };
    let reason = purge_reason(conversation_id, &reason)?;
    Ok(Some(PurgedConversation {
        conversation_id: ConversationId::from_uuid(conversation_id),
        user_id: UserId::from_uuid(user_id),
        agent_id: AgentId::from_uuid(agent_id),
        reason,
    }))
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use lcs_domain::{ConversationRepository, NewConversation, Text};

    use super::*;
    use crate::postgres::PostgresConfig;
    use crate::testing::TestPostgres;

    #[tokio::test]
    async fn a_batch_that_finds_both_lanes_taken_leaves_where_the_next_one_begins() {
        let database = TestPostgres::migrated().await;
        let store = Postgres::connect(PostgresConfig::from_url(database.url()).unwrap()).await.unwrap();
        for _ in 0..250 {
            let new = NewConversation::begin(Text::name("model", "/model_id").unwrap());
            store.create(UserId::generate(), new).await.unwrap();
        }
        let old = "UPDATE conversations SET updated_at = updated_at - interval '100 days'";
        database.execute(old).await;
        let purge = async || {
            let policy = RetentionPolicy::idle_longer_than(Duration::from_hours(24)).unwrap();
            let report = store.purge_batch(policy, PageLimit::new(100).unwrap()).await.unwrap();
            (report.busy, report.purged.len(), store.purge_from.0.load(Ordering::Relaxed))
        };
        let (_, removed, from) = purge().await;
        assert!(removed == 100 && from > 0, "{removed}, and on from page {from}");
        let other = database.client().await;
        for lane in ["lcs-persistence retention", "lcs-persistence retention 2"] {
            let lock = format!("SELECT pg_advisory_lock(hashtext('{lane}'), hashtext('public'))");
            other.batch_execute(&lock).await.unwrap();
        }
        assert_eq!(purge().await, (true, 0, from));
        other.batch_execute("SELECT pg_advisory_unlock_all()").await.unwrap();
        let (_, removed, next) = purge().await;
        assert!(removed == 100 && next > from, "{removed}, and on from page {next}");
        assert_eq!(purge().await, (false, 50, 0));
    }
}
