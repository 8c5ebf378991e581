//! Retention in PostgreSQL. It runs on connections of its own, with the time limit of maintenance.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use diesel::sql_types::{BigInt, Bool, Double, Nullable, Text as SqlText, Uuid as SqlUuid};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::retention::ABANDONED_AFTER;
use lcs_domain::{
    Actor, AgentId, ConversationId, PageLimit, PurgeReason, PurgeReport, PurgedConversation, RetentionPolicy,
    RetentionRepository, UserId,
};
use uuid::Uuid;

use super::Postgres;
use super::connect::Purpose;
use super::error::Fault;
use super::operation::{Effect, detached};
use super::row::no_row;
use super::statement::statement;
use crate::row::Row;

statement! {
    /// How many conversations may go.
    CountDue(
        "-- $1 idle_seconds\nSELECT count(*) FROM conversations \
         WHERE status = 'deleted' OR updated_at < now() - $1 * interval '1 second'"
    ) -> BigInt {
        idle_seconds: f64 as Double,
    }
}

statement! {
    /// Removes a batch of conversations: whether it was free to, and each of them.
    Purge(include_str!("retention/purge.sql")) -> (
        Bool,
        Nullable<BigInt>,
        Nullable<SqlUuid>,
        Nullable<SqlUuid>,
        Nullable<SqlUuid>,
        Nullable<SqlText>,
    ) {
        idle_seconds: f64 as Double,
        limit: i64 as BigInt,
        from_page: i64 as BigInt,
        actor: String as SqlText,
    }
}

statement! {
    /// Removes a batch of requests.
    PurgeRequests(include_str!("retention/purge_requests.sql")) -> BigInt {
        ended_seconds: f64 as Double,
        limit: i64 as BigInt,
    }
}

/// Whether nobody else was at it, the last page that was looked at, and a conversation that was removed; all
/// `None` where none was.
type PurgedRow = (bool, Option<i64>, Option<Uuid>, Option<Uuid>, Option<Uuid>, Option<String>);

/// Where in the table the next batch begins to look: a run would else read all that it has removed again, for
/// each of its batches. It is nothing but a hint: a batch that is not full has looked at the whole table.
#[derive(Debug, Clone, Default)]
pub(super) struct PurgeFrom(Arc<AtomicI64>);

#[async_trait]
impl RetentionRepository for Postgres {
    #[tracing::instrument(name = "db.retention.count_due", skip_all)]
    async fn count_due(&self, policy: RetentionPolicy) -> RepositoryResult<u64> {
        let query = CountDue { idle_seconds: policy.idle().as_secs_f64() };
        let answer = self.run::<i64>(Purpose::Maintenance, Effect::Reads, &query).await;
        let count = answer.map_err(Fault::into_error)?.one().unwrap_or_default();
        Ok(u64::try_from(count).unwrap_or_default())
    }

    #[tracing::instrument(name = "db.retention.purge_batch", skip_all, fields(limit = limit.get()))]
    async fn purge_batch(&self, policy: RetentionPolicy, limit: PageLimit) -> RepositoryResult<PurgeReport> {
        let store = self.clone();
        // A purge has no key and needs none: what is gone is gone, and the next batch finds the rest.
        detached(Uuid::nil(), async move {
            let mut report = PurgeReport::default();
            let limit = i64::from(limit.get());
            loop {
                let from_page = store.purge_from.0.load(Ordering::Relaxed);
                let left = limit - i64::try_from(report.purged.len()).unwrap_or(limit);
                let query = Purge {
                    idle_seconds: policy.idle().as_secs_f64(),
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
                let is_full = report.purged.len() >= usize::try_from(limit).unwrap_or_default();
                let next = last_page.filter(|_| is_full).unwrap_or_default();
                store.purge_from.0.store(next, Ordering::Relaxed);
                if is_full || report.busy || from_page == 0 {
                    return Ok(report);
                }
            }
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
}

impl Postgres {
    /// Removes what one statement can, and adds it to `report`: gives the last page that it looked at.
    async fn purge_once(&self, query: &Purge, report: &mut PurgeReport) -> RepositoryResult<Option<i64>> {
        let effect = Effect::Writes(Uuid::nil());
        let answer = self.run::<PurgedRow>(Purpose::Maintenance, effect, query).await;
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

fn purged(row: PurgedRow) -> RepositoryResult<Option<PurgedConversation>> {
    let (_, _, Some(conversation_id), Some(user_id), Some(agent_id), Some(reason)) = row else {
        return Ok(None);
    };
    let reason = match reason.as_str() {
        "deleted" => PurgeReason::Deleted,
        "expired" => PurgeReason::Expired,
        _ => {
            let row = Row { table: "conversation_tombstones", key: conversation_id };
            return Err(row.inconsistent("reason", "not a known reason"));
        }
    };
    Ok(Some(PurgedConversation {
        conversation_id: ConversationId::from_uuid(conversation_id),
        user_id: UserId::from_uuid(user_id),
        agent_id: AgentId::from_uuid(agent_id),
        reason,
    }))
}
