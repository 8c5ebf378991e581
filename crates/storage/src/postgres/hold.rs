//! Legal holds in PostgreSQL. They are placed under a lock that each batch of a purge shares, from before it looks until it
//! has committed: either it sees the hold, or whoever places it waits, and sees what is left.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Nullable, Text as SqlText, Timestamptz, Uuid as SqlUuid};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, ConversationId, Entity, Hold, HoldId, HoldRepository, HoldTarget, NewHold, PageLimit,
    RepositoryError, Text, UserId,
};
use uuid::Uuid;

use super::Postgres;
use super::connect::Purpose;
use super::error::Fault;
use super::locked::Locked;
use super::operation::{Effect, detached};
use super::statement::statement;

type Columns = (
    SqlUuid,
    SqlUuid,
    Nullable<SqlUuid>,
    SqlText,
    SqlText,
    Timestamptz,
    Nullable<Timestamptz>,
    Nullable<SqlText>,
);

statement! {
    /// Places a hold.
    Place(include_str!("hold/place.sql")) -> Columns {
        hold_id: Uuid as SqlUuid,
        user_id: Option<Uuid> as Nullable<SqlUuid>,
        conversation_id: Option<Uuid> as Nullable<SqlUuid>,
        reason: String as SqlText,
        placed_by: String as SqlText,
    }
}

statement! {
    /// Releases one.
    Release(include_str!("hold/release.sql")) -> Columns {
        hold_id: Uuid as SqlUuid,
        released_by: String as SqlText,
    }
}

statement! {
    /// A page of those in force.
    List(include_str!("hold/list.sql")) -> Columns {
        after: Option<Uuid> as Nullable<SqlUuid>,
        limit: i64 as BigInt,
    }
}

statement! {
    /// Those that keep something.
    Holding(include_str!("hold/holding.sql")) -> Columns {
        user_id: Option<Uuid> as Nullable<SqlUuid>,
        conversation_id: Option<Uuid> as Nullable<SqlUuid>,
    }
}

#[derive(diesel::Queryable)]
pub(super) struct HoldRow {
    hold_id: Uuid,
    user_id: Uuid,
    conversation_id: Option<Uuid>,
    reason: String,
    placed_by: String,
    placed_at: DateTime<Utc>,
    released_at: Option<DateTime<Utc>>,
    released_by: Option<String>,
}

impl From<HoldRow> for Hold {
    fn from(row: HoldRow) -> Self {
        Self {
            hold_id: HoldId::from_uuid(row.hold_id),
            user_id: UserId::from_uuid(row.user_id),
            conversation_id: row.conversation_id.map(ConversationId::from_uuid),
            reason: Text::from_stored(row.reason),
            placed_by: row.placed_by,
            placed_at: row.placed_at,
            released_at: row.released_at,
            released_by: row.released_by,
        }
    }
}

/// The user and the conversation that `target` names: one of them.
pub(super) fn parts(target: HoldTarget) -> (Option<Uuid>, Option<Uuid>) {
    match target {
        HoldTarget::User(user_id) => (Some(user_id.into()), None),
        HoldTarget::Conversation(conversation_id) => (None, Some(conversation_id.into())),
    }
}

#[async_trait]
impl HoldRepository for Postgres {
    #[tracing::instrument(name = "db.hold.place", skip_all, fields(hold_id = %hold.hold_id))]
    async fn place(&self, hold: NewHold) -> RepositoryResult<Hold> {
        hold.validate()?;
        let (user_id, conversation_id) = parts(hold.target);
        let query = Place {
            hold_id: hold.hold_id.into(),
            user_id,
            conversation_id,
            reason: hold.reason.to_string(),
            placed_by: hold.placed_by.as_str().to_owned(),
        };
        let store = self.clone();
        detached(query.hold_id, async move {
            let effect = Effect::Writes(query.hold_id);
            let answer = store.run(Purpose::Maintenance, effect, &Locked::holds(&query)).await;
            let placed: Option<HoldRow> = answer.map_err(Fault::into_error)?.one();
            let placed = placed.map(Hold::from).ok_or(RepositoryError::not_found(Entity::Conversation))?;
            if hold.made(&placed) {
                Ok(placed)
            } else {
                Err(RepositoryError::AlreadyExists { entity: Entity::Hold })
            }
        })
        .await
    }

    #[tracing::instrument(name = "db.hold.release", skip_all, fields(%hold_id))]
    async fn release(&self, hold_id: HoldId, released_by: Actor) -> RepositoryResult<Option<Hold>> {
        let query = Release { hold_id: hold_id.into(), released_by: released_by.as_str().to_owned() };
        let store = self.clone();
        detached(query.hold_id, async move {
            let effect = Effect::Writes(query.hold_id);
            let answer = store.run(Purpose::Maintenance, effect, &Locked::holds(&query)).await;
            let released: Option<HoldRow> = answer.map_err(Fault::into_error)?.one();
            Ok(released.map(Hold::from))
        })
        .await
    }

    #[tracing::instrument(name = "db.hold.list_holds", skip_all)]
    async fn list_holds(&self, after: Option<HoldId>, limit: PageLimit) -> RepositoryResult<Vec<Hold>> {
        let query = List { after: after.map(Uuid::from), limit: limit.get().into() };
        let answer = self.run::<HoldRow>(Purpose::Maintenance, Effect::Reads, &query).await;
        Ok(answer.map_err(Fault::into_error)?.rows.into_iter().map(Hold::from).collect())
    }

    #[tracing::instrument(name = "db.hold.holding", skip_all)]
    async fn holding(&self, target: HoldTarget) -> RepositoryResult<Vec<Hold>> {
        let (user_id, conversation_id) = parts(target);
        let query = Holding { user_id, conversation_id };
        let answer = self.run::<HoldRow>(Purpose::Maintenance, Effect::Reads, &query).await;
        Ok(answer.map_err(Fault::into_error)?.rows.into_iter().map(Hold::from).collect())
    }
}
