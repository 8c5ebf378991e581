//! Retention in PostgreSQL. It runs on connections of its own, with the time limit of maintenance.

use async_trait::async_trait;
use diesel::sql_types::{BigInt, Double, Text as SqlText, Uuid as SqlUuid};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AgentId, ConversationId, PageLimit, PurgeReason, PurgeReport, PurgedConversation, RetentionPolicy,
    RetentionRepository, UserId,
};
use uuid::Uuid;

use super::Postgres;
use super::connect::Purpose;
use super::error::Fault;
use super::operation::{Effect, detached};
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
    /// Removes a batch of conversations.
    Purge(include_str!("retention/purge.sql")) -> (SqlUuid, SqlUuid, SqlUuid, SqlText) {
        idle_seconds: f64 as Double,
        limit: i64 as BigInt,
    }
}

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
        let query = Purge { idle_seconds: policy.idle().as_secs_f64(), limit: limit.get().into() };
        let store = self.clone();
        // A purge has no key and needs none: what is gone is gone, and the next batch finds the rest.
        detached(Uuid::nil(), async move {
            let answer = store.run(Purpose::Maintenance, Effect::Writes(Uuid::nil()), &query).await;
            let answer = answer.map_err(Fault::into_error)?;
            if answer.repeated {
                tracing::warn!("a batch of purging was run again: what the lost one removed is in no report");
            }
            Ok(PurgeReport { purged: answer.rows.into_iter().map(purged).collect::<Result<_, _>>()? })
        })
        .await
    }
}

fn purged(
    (conversation_id, user_id, agent_id, reason): (Uuid, Uuid, Uuid, String),
) -> RepositoryResult<PurgedConversation> {
    let reason = match reason.as_str() {
        "deleted" => PurgeReason::Deleted,
        "expired" => PurgeReason::Expired,
        _ => {
            let row = Row { table: "conversation_tombstones", key: conversation_id };
            return Err(row.inconsistent("reason", "not a known reason"));
        }
    };
    Ok(PurgedConversation {
        conversation_id: ConversationId::from_uuid(conversation_id),
        user_id: UserId::from_uuid(user_id),
        agent_id: AgentId::from_uuid(agent_id),
        reason,
    })
}
