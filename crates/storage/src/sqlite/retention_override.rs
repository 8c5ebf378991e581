//! Users' own retention in SQLite.

use async_trait::async_trait;
use diesel::prelude::*;
use diesel::sqlite::{Sqlite as Backend, SqliteConnection};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, NewRetentionOverride, PageLimit, RepositoryError, RetentionOverride, RetentionOverrideRepository,
    UserId,
};

use super::error::Failure;
use super::limited::limited;
use super::row::{BlobUuid, Cell, Micros, Reader};
use super::schema::retention_overrides;
use super::{Sqlite, audit};
use crate::audit::override_event;
use crate::row::Row;

#[derive(Insertable)]
#[diesel(table_name = retention_overrides, treat_none_as_default_value = false)]
struct NewRow<'a> {
    user_id: BlobUuid,
    idle_days: Option<i64>,
    set_by: &'a str,
    set_at: Micros,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = retention_overrides, check_for_backend(Backend))]
struct OverrideRow {
    user_id: Cell<Vec<u8>>,
    idle_days: Option<Cell<i64>>,
    set_by: Cell<String>,
    set_at: Cell<i64>,
}

impl TryFrom<OverrideRow> for RetentionOverride {
    type Error = RepositoryError;

    fn try_from(row: OverrideRow) -> Result<Self, RepositoryError> {
        let reader = Reader::new("retention_overrides", "user_id", row.user_id)?;
        let days = row.idle_days.map(|days| reader.count("idle_days", days)).transpose()?;
        Ok(Self {
            user_id: UserId::from_uuid(reader.key()),
            keep: Row { table: "retention_overrides", key: reader.key() }.keep(days)?,
            set_by: reader.text("set_by", row.set_by)?,
            set_at: reader.time("set_at", row.set_at)?,
        })
    }
}

/// The user's own retention.
pub(super) fn find(
    connection: &mut SqliteConnection,
    user_id: UserId,
) -> Result<Option<RetentionOverride>, Failure> {
    let row = retention_overrides::table
        .find(BlobUuid::from(user_id))
        .select(OverrideRow::as_select())
        .get_result(connection);
    Ok(row.optional()?.map(RetentionOverride::try_from).transpose()?)
}

#[async_trait]
impl RetentionOverrideRepository for Sqlite {
    #[tracing::instrument(name = "db.retention_override.set_override", skip_all, fields(user_id = %new.user_id))]
    async fn set_override(&self, new: NewRetentionOverride) -> RepositoryResult<RetentionOverride> {
        self.database
            .write(new.user_id, move |connection, now| {
                let row = NewRow {
                    user_id: new.user_id.into(),
                    idle_days: new.keep.as_days().map(i64::from),
                    set_by: new.set_by.as_str(),
                    set_at: now.into(),
                };
                diesel::replace_into(retention_overrides::table).values(row).execute(connection)?;
                let set_by = new.set_by.as_str().to_owned();
                audit::record(connection, override_event(new.set_by, new.user_id, Some(new.keep)), now)?;
                Ok(RetentionOverride { user_id: new.user_id, keep: new.keep, set_by, set_at: now })
            })
            .await
    }

    #[tracing::instrument(name = "db.retention_override.remove_override", skip_all, fields(%user_id))]
    async fn remove_override(
        &self,
        user_id: UserId,
        by: Actor,
    ) -> RepositoryResult<Option<RetentionOverride>> {
        self.database
            .write(user_id, move |connection, now| {
                let Some(removed) = find(connection, user_id)? else { return Ok(None) };
                diesel::delete(retention_overrides::table.find(BlobUuid::from(user_id)))
                    .execute(connection)?;
                audit::record(connection, override_event(by, user_id, None), now)?;
                Ok(Some(removed))
            })
            .await
    }

    #[tracing::instrument(name = "db.retention_override.overrides", skip_all)]
    async fn overrides(
        &self,
        after: Option<UserId>,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<RetentionOverride>> {
        self.database
            .read(move |connection| {
                let mut rows =
                    retention_overrides::table.select(OverrideRow::as_select()).into_boxed::<Backend>();
                if let Some(after) = after {
                    rows = rows.filter(retention_overrides::user_id.gt(BlobUuid::from(after)));
                }
                let rows = rows.order(retention_overrides::user_id);
                let rows = limited(rows, limit.get().into()).load(connection)?;
                Ok(rows.into_iter().map(RetentionOverride::try_from).collect::<Result<_, _>>()?)
            })
            .await
    }
}
