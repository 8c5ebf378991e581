//! Legal holds in SQLite. The write lock keeps them and a purge apart.

use async_trait::async_trait;
use diesel::dsl::{exists, select};
use diesel::prelude::*;
use diesel::sqlite::{Sqlite as Backend, SqliteConnection};
use lcs_domain::archive::Forgotten;
use lcs_domain::audit::AuditHash;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    Actor, AuditAction, ConversationId, Entity, Hold, HoldId, HoldRepository, HoldTarget, NewHold, PageLimit,
    RepositoryError, Text, UserId,
};

use super::error::Failure;
use super::limited::limited;
use super::row::{BlobUuid, Cell, Micros, Reader};
use super::schema::{conversation_tombstones, conversations, holds};
use super::{Sqlite, audit};
use crate::audit::hold_event;

#[derive(Insertable)]
#[diesel(table_name = holds, treat_none_as_default_value = false)]
struct NewRow<'a> {
    hold_id: BlobUuid,
    user_id: BlobUuid,
    conversation_id: Option<BlobUuid>,
    reason: &'a str,
    placed_by: &'a str,
    placed_at: Micros,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = holds, check_for_backend(Backend))]
struct HoldRow {
    hold_id: Cell<Vec<u8>>,
    user_id: Cell<Vec<u8>>,
    conversation_id: Option<Cell<Vec<u8>>>,
    reason: Cell<String>,
    placed_by: Cell<String>,
    placed_at: Cell<i64>,
    released_at: Option<Cell<i64>>,
    released_by: Option<Cell<String>>,
}

impl TryFrom<HoldRow> for Hold {
    type Error = RepositoryError;

    fn try_from(row: HoldRow) -> Result<Self, RepositoryError> {
        let reader = Reader::new("holds", "hold_id", row.hold_id)?;
        let conversation_id =
            row.conversation_id.map(|cell| reader.uuid("conversation_id", cell)).transpose()?;
        Ok(Self {
            hold_id: HoldId::from_uuid(reader.key()),
            user_id: UserId::from_uuid(reader.uuid("user_id", row.user_id)?),
            conversation_id: conversation_id.map(ConversationId::from_uuid),
            reason: Text::from_stored(reader.text("reason", row.reason)?),
            placed_by: reader.text("placed_by", row.placed_by)?,
            placed_at: reader.time("placed_at", row.placed_at)?,
            released_at: row.released_at.map(|cell| reader.time("released_at", cell)).transpose()?,
            released_by: reader.optional_text("released_by", row.released_by)?,
        })
    }
}

fn find(connection: &mut SqliteConnection, hold_id: HoldId) -> Result<Option<Hold>, Failure> {
    let row = holds::table.find(BlobUuid::from(hold_id)).select(HoldRow::as_select()).get_result(connection);
    Ok(row.optional()?.map(Hold::try_from).transpose()?)
}

/// Whose the conversation is, in whatever status.
pub(super) fn owner(
    connection: &mut SqliteConnection,
    conversation_id: ConversationId,
) -> Result<Option<UserId>, Failure> {
    type Ids = (Cell<Vec<u8>>, Cell<Vec<u8>>);
    let row: Option<Ids> = conversations::table
        .find(BlobUuid::from(conversation_id))
        .select((conversations::conversation_id, conversations::user_id))
        .get_result(connection)
        .optional()?;
    let Some((key, user_id)) = row else { return Ok(None) };
    let reader = Reader::new("conversations", "conversation_id", key)?;
    Ok(Some(UserId::from_uuid(reader.uuid("user_id", user_id)?)))
}

/// The user's hash in the tombstone of a conversation, if it has one.
pub(super) fn hash_in_tombstone(
    connection: &mut SqliteConnection,
    conversation_id: ConversationId,
) -> Result<Option<AuditHash>, Failure> {
    let hash: Option<Vec<u8>> = conversation_tombstones::table
        .find(BlobUuid::from(conversation_id))
        .select(conversation_tombstones::user_hash)
        .get_result(connection)
        .optional()?;
    Ok(hash.and_then(|hash| hash.try_into().ok()).map(AuditHash))
}

/// Whether an archive has this conversation.
fn is_archived(connection: &mut SqliteConnection, conversation_id: ConversationId) -> QueryResult<bool> {
    let tombstone = conversation_tombstones::table.find(BlobUuid::from(conversation_id));
    select(exists(tombstone.filter(conversation_tombstones::archive_id.is_not_null()))).get_result(connection)
}

/// All holds in force.
fn in_force(connection: &mut SqliteConnection) -> Result<Vec<Hold>, Failure> {
    let rows: Vec<HoldRow> = holds::table
        .filter(holds::released_at.is_null())
        .order(holds::hold_id)
        .select(HoldRow::as_select())
        .load(connection)?;
    Ok(rows.into_iter().map(Hold::try_from).collect::<Result<_, _>>()?)
}

/// Refuses where one is on something that is to be taken out of archives.
pub(super) fn refuse_forgotten(connection: &mut SqliteConnection, what: &Forgotten) -> Result<(), Failure> {
    let holds = in_force(connection)?;
    let mut found = None;
    match what {
        Forgotten::User(user) => found = holds.iter().find(|hold| hold.holds_some_of(AuditHash(user.0))),
        Forgotten::Conversations(_) if holds.is_empty() => {}
        Forgotten::Conversations(ids) => {
            for id in ids {
                let hash = hash_in_tombstone(connection, *id)?;
                found = found.or(holds.iter().find(|hold| hash.is_some_and(|hash| hold.holds_all_of(hash))));
            }
        }
    }
    found.map_or(Ok(()), |hold| Err(hold.refusal().into()))
}

/// The holds in force that keep something of `target`: of a conversation too that is in an archive only.
pub(super) fn holding(connection: &mut SqliteConnection, target: HoldTarget) -> Result<Vec<Hold>, Failure> {
    let user_id = match target {
        HoldTarget::User(user_id) => Some(user_id),
        HoldTarget::Conversation(conversation_id) => {
            let owner = owner(connection, conversation_id)?;
            if owner.is_none()
                && is_archived(connection, conversation_id)?
                && let Some(hash) = hash_in_tombstone(connection, conversation_id)?
            {
                let holds = in_force(connection)?.into_iter();
                return Ok(holds.filter(|hold| hold.holds_all_of(hash)).collect());
            }
            owner
        }
    };
    let Some(user_id) = user_id else { return Ok(Vec::new()) };
    let rows: Vec<HoldRow> = holds::table
        .filter(holds::released_at.is_null().and(holds::user_id.eq(BlobUuid::from(user_id))))
        .order(holds::hold_id)
        .select(HoldRow::as_select())
        .load(connection)?;
    let all = rows.into_iter().map(Hold::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(all.into_iter().filter(|hold| hold.concerns(target, Some(user_id))).collect())
}

#[async_trait]
impl HoldRepository for Sqlite {
    #[tracing::instrument(name = "db.hold.place", skip_all, fields(hold_id = %hold.hold_id))]
    async fn place(&self, hold: NewHold) -> RepositoryResult<Hold> {
        hold.validate()?;
        self.database
            .write(hold.hold_id, move |connection, now| {
                if let Some(placed) = find(connection, hold.hold_id)? {
                    return if hold.made(&placed) {
                        Ok(placed)
                    } else {
                        Err(RepositoryError::AlreadyExists { entity: Entity::Hold }.into())
                    };
                }
                let (user_id, conversation_id) = match hold.target {
                    HoldTarget::User(user_id) => (user_id, None),
                    HoldTarget::Conversation(conversation_id) => {
                        let found = owner(connection, conversation_id)?;
                        let user_id = found.ok_or(RepositoryError::not_found(Entity::Conversation))?;
                        (user_id, Some(conversation_id))
                    }
                };
                let row = NewRow {
                    hold_id: hold.hold_id.into(),
                    user_id: user_id.into(),
                    conversation_id: conversation_id.map(BlobUuid::from),
                    reason: &hold.reason,
                    placed_by: hold.placed_by.as_str(),
                    placed_at: now.into(),
                };
                diesel::insert_into(holds::table).values(row).execute(connection)?;
                let placed = hold.placed(user_id, conversation_id, now);
                audit::record(connection, hold_event(hold.placed_by, AuditAction::HoldPlaced, &placed), now)?;
                Ok(placed)
            })
            .await
    }

    #[tracing::instrument(name = "db.hold.release", skip_all, fields(%hold_id))]
    async fn release(&self, hold_id: HoldId, released_by: Actor) -> RepositoryResult<Option<Hold>> {
        self.database
            .write(hold_id, move |connection, now| {
                let Some(mut hold) = find(connection, hold_id)? else { return Ok(None) };
                if hold.released_at.is_some() {
                    return Ok(Some(hold));
                }
                diesel::update(holds::table.find(BlobUuid::from(hold_id)))
                    .set((
                        holds::released_at.eq(Some(Micros::from(now))),
                        holds::released_by.eq(Some(released_by.as_str())),
                    ))
                    .execute(connection)?;
                hold.released_at = Some(now);
                hold.released_by = Some(released_by.as_str().to_owned());
                audit::record(connection, hold_event(released_by, AuditAction::HoldReleased, &hold), now)?;
                Ok(Some(hold))
            })
            .await
    }

    #[tracing::instrument(name = "db.hold.list_holds", skip_all)]
    async fn list_holds(&self, after: Option<HoldId>, limit: PageLimit) -> RepositoryResult<Vec<Hold>> {
        self.database
            .read(move |connection| {
                let mut rows = holds::table
                    .filter(holds::released_at.is_null())
                    .select(HoldRow::as_select())
                    .into_boxed::<Backend>();
                if let Some(after) = after {
                    rows = rows.filter(holds::hold_id.gt(BlobUuid::from(after)));
                }
                let rows = limited(rows.order(holds::hold_id), limit.get().into()).load(connection)?;
                Ok(rows.into_iter().map(Hold::try_from).collect::<Result<_, _>>()?)
            })
            .await
    }

    #[tracing::instrument(name = "db.hold.holding", skip_all)]
    async fn holding(&self, target: HoldTarget) -> RepositoryResult<Vec<Hold>> {
        self.database.read_snapshot(move |connection| holding(connection, target)).await
    }
}
