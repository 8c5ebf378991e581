//! What comes back from an archive: stored as an import stores it, where a tombstone says that it may, which is lifted
//! in the same transaction.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use lcs_domain::archive::{ArchiveState, Restored};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::{Imported, IncomingConversation, IncomingHead, Refusal};
use lcs_domain::{Actor, ArchiveId, Entity, NewTurn, PurgeReason};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::{is_begun, mark, tombstone};
use crate::sqlite::conversation::find;
use crate::sqlite::error::Failure;
use crate::sqlite::row::{BlobUuid, Micros};
use crate::sqlite::schema::{conversation_tombstones as tombstones, restorations};
use crate::sqlite::transfer::{PATIENCE, stood_still, take_in};
use crate::sqlite::{Sqlite, audit};

/// The turns that come along, one after the other.
type Turns<'a> = &'a mut dyn Iterator<Item = RepositoryResult<NewTurn>>;

/// From where conversations come back, and for how long they are kept then.
#[derive(Clone, Copy)]
struct Origin {
    archive_id: ArchiveId,
    keep: Duration,
}

impl Sqlite {
    pub(super) async fn restore_all(
        &self,
        archive_id: ArchiveId,
        keep: Duration,
        conversations: Vec<IncomingConversation>,
    ) -> RepositoryResult<Vec<Restored>> {
        let (file, actor) = (self.database.file(), self.actor_or(Actor::service));
        let origin = Origin { archive_id, keep };
        self.database
            .write(archive_id, move |connection, now| {
                let (mut restored, mut ids, mut count) =
                    (Vec::with_capacity(conversations.len()), Vec::new(), 0);
                for incoming in conversations {
                    if let Err(error) = incoming.validate() {
                        restored.push(Restored::Refused(Refusal::invalid(&error)));
                        continue;
                    }
                    let mut turns = incoming.turns.into_iter().map(Ok);
                    let outcome = bring_back(connection, &file, origin, &incoming.head, &mut turns, now)?;
                    if outcome == Restored::Stored {
                        ids.push(incoming.head.conversation.conversation_id);
                        count += u64::from(incoming.head.conversation.turn_count);
                    }
                    restored.push(outcome);
                }
                if let Some(event) = crate::audit::restoration(actor, archive_id, &ids, count) {
                    audit::record(connection, event, now)?;
                }
                Ok(restored)
            })
            .await
    }

    pub(super) async fn restore_one(
        &self,
        archive_id: ArchiveId,
        keep: Duration,
        head: IncomingHead,
        mut turns: BoxStream<'static, RepositoryResult<NewTurn>>,
    ) -> RepositoryResult<Restored> {
        if let Err(error) = head.validate() {
            return Ok(Restored::Refused(Refusal::invalid(&error)));
        }
        let (file, actor, runtime) = (self.database.file(), self.actor_or(Actor::service), Handle::current());
        let origin = Origin { archive_id, keep };
        self.database
            .write(archive_id, move |connection, now| {
                let mut turns = std::iter::from_fn(|| {
                    let next = async { timeout(PATIENCE, turns.next()).await };
                    runtime.block_on(next).unwrap_or_else(|_| Some(Err(stood_still())))
                });
                let outcome = bring_back(connection, &file, origin, &head, &mut turns, now)?;
                if outcome == Restored::Stored {
                    let ids = [head.conversation.conversation_id];
                    let count = head.conversation.turn_count.into();
                    if let Some(event) = crate::audit::restoration(actor, archive_id, &ids, count) {
                        audit::record(connection, event, now)?;
                    }
                }
                Ok(outcome)
            })
            .await
    }
}

/// Lifts the tombstone and stores the conversation, or does neither; within the caller's transaction.
fn bring_back(
    connection: &mut SqliteConnection,
    file: &str,
    origin: Origin,
    head: &IncomingHead,
    turns: Turns<'_>,
    now: DateTime<Utc>,
) -> Result<Restored, Failure> {
    let Origin { archive_id, keep } = origin;
    let (id, user_id) = (head.conversation.conversation_id, head.conversation.user_id);
    let Some(left) = tombstone(connection, id)? else {
        return Ok(match find(connection, id)? {
            Some(stored) if stored.user_id == user_id => Restored::Present,
            Some(_) => Restored::Refused(Refusal::in_use(Entity::Conversation)),
            None => Restored::Refused(Refusal::not_archived()),
        });
    };
    match left.archive_id {
        _ if left.reason != PurgeReason::Expired => return Ok(Restored::Refused(Refusal::deleted())),
        None => return Ok(Restored::Refused(Refusal::not_archived())),
        Some(other) if other != archive_id || is_begun(connection, archive_id)? => {
            return Ok(Restored::Elsewhere);
        }
        Some(_) => {}
    }
    let mut outcome = None;
    let done = connection.transaction(|connection| {
        diesel::delete(tombstones::table.find(BlobUuid::from(id))).execute(connection)?;
        match take_in(connection, file, head, turns, now)? {
            Imported::Stored => {}
            other => {
                outcome = Some(Restored::from(other));
                // The tombstone stays.
                return Err(diesel::result::Error::RollbackTransaction.into());
            }
        }
        let keep = TimeDelta::from_std(keep).unwrap_or(TimeDelta::MAX);
        let until = now.checked_add_signed(keep).unwrap_or(DateTime::<Utc>::MAX_UTC);
        diesel::insert_into(restorations::table)
            .values((
                restorations::conversation_id.eq(BlobUuid::from(id)),
                restorations::keep_until.eq(Micros::from(until)),
            ))
            .execute(connection)?;
        mark(connection, archive_id, ArchiveState::Stale)?;
        Ok(())
    });
    match (done, outcome) {
        (_, Some(refused)) => Ok(refused),
        (Ok(()), None) => Ok(Restored::Stored),
        (Err(failure), None) => Err(failure),
    }
}
