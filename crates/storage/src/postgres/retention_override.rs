//! Users' own retention in PostgreSQL. It is set under the lock under which a purge looks.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Integer, Nullable, Text as SqlText, Timestamptz, Uuid as SqlUuid};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, Keep, NewRetentionOverride, PageLimit, RepositoryError, RetentionOverride,
    RetentionOverrideRepository, UserId,
};
use uuid::Uuid;

use super::Postgres;
use super::connect::Purpose;
use super::error::Fault;
use super::locked::Locked;
use super::operation::{Effect, detached};
use super::row::no_row;
use super::statement::statement;
use crate::row::Row;

type Columns = (SqlUuid, Nullable<Integer>, SqlText, Timestamptz);

statement! {
    /// Sets one.
    Upsert(include_str!("retention_override/set.sql")) -> Columns {
        user_id: Uuid as SqlUuid,
        idle_days: Option<i32> as Nullable<Integer>,
        set_by: String as SqlText,
    }
}

statement! {
    /// Removes one.
    Remove(include_str!("retention_override/remove.sql")) -> Columns {
        user_id: Uuid as SqlUuid,
        actor: String as SqlText,
    }
}

statement! {
    /// A page of them.
    List(
        "-- $1 after  $2 limit\nSELECT user_id, idle_days, set_by, set_at FROM retention_overrides \
         WHERE $1 IS NULL OR user_id > $1 ORDER BY user_id LIMIT $2"
    ) -> Columns {
        after: Option<Uuid> as Nullable<SqlUuid>,
        limit: i64 as BigInt,
    }
}

type OverrideRow = (Uuid, Option<i32>, String, DateTime<Utc>);

fn own((user_id, idle_days, set_by, set_at): OverrideRow) -> RepositoryResult<RetentionOverride> {
    Ok(RetentionOverride {
        user_id: UserId::from_uuid(user_id),
        keep: keep(user_id, idle_days)?,
        set_by,
        set_at,
    })
}

/// What so many days mean; none: for ever.
pub(super) fn keep(user_id: Uuid, idle_days: Option<i32>) -> Result<Keep, RepositoryError> {
    let row = Row { table: "retention_overrides", key: user_id };
    row.keep(idle_days.map(|days| row.count("idle_days", days)).transpose()?)
}

#[async_trait]
impl RetentionOverrideRepository for Postgres {
    #[tracing::instrument(name = "db.retention_override.set_override", skip_all, fields(user_id = %new.user_id))]
    async fn set_override(&self, new: NewRetentionOverride) -> RepositoryResult<RetentionOverride> {
        let query = Upsert {
            user_id: new.user_id.into(),
            idle_days: new.keep.as_days().and_then(|days| i32::try_from(days).ok()),
            set_by: new.set_by.as_str().to_owned(),
        };
        let store = self.clone();
        detached(query.user_id, async move {
            let effect = Effect::Writes(query.user_id);
            let answer = store.run(Purpose::Maintenance, effect, &Locked::holds(&query)).await;
            own(answer.map_err(Fault::into_error)?.one().ok_or_else(no_row)?)
        })
        .await
    }

    #[tracing::instrument(name = "db.retention_override.remove_override", skip_all, fields(%user_id))]
    async fn remove_override(
        &self,
        user_id: UserId,
        by: Actor,
    ) -> RepositoryResult<Option<RetentionOverride>> {
        let query = Remove { user_id: user_id.into(), actor: by.as_str().to_owned() };
        let store = self.clone();
        detached(query.user_id, async move {
            let effect = Effect::Writes(query.user_id);
            let answer = store.run(Purpose::Maintenance, effect, &Locked::holds(&query)).await;
            answer.map_err(Fault::into_error)?.one().map(own).transpose()
        })
        .await
    }

    #[tracing::instrument(name = "db.retention_override.overrides", skip_all)]
    async fn overrides(
        &self,
        after: Option<UserId>,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<RetentionOverride>> {
        let query = List { after: after.map(Uuid::from), limit: limit.get().into() };
        let answer = self.run::<OverrideRow>(Purpose::Maintenance, Effect::Reads, &query).await;
        answer.map_err(Fault::into_error)?.rows.into_iter().map(own).collect()
    }
}
