//! Export and import in SQLite.

mod export;
mod import;

pub(super) use self::export::state_of;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sqlite::Sqlite as Backend;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::{ExportFilter, Exported, Imported, IncomingConversation, IncomingHead, Refusal};
use lcs_domain::{ConversationStatus, NewTurn, RepositoryError, TransferRepository};
use tokio::runtime::Handle;
use tokio::time::timeout;

pub(super) use self::import::take_in;
use super::Sqlite;
use super::erasure::is_erased;
use super::row::{BlobUuid, Micros};
use super::schema::conversations::{self, dsl};

/// How long a conversation's next turn is waited for: nobody else writes meanwhile.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// The conversations that the filter takes.
fn taken(filter: &ExportFilter) -> conversations::BoxedQuery<'static, Backend> {
    let statuses = filter.statuses.iter().copied().map(ConversationStatus::as_str);
    let mut query = dsl::conversations
        .filter(dsl::status.eq_any(statuses.collect::<Vec<&'static str>>()))
        .into_boxed::<Backend>();
    if let Some(user_id) = filter.user_id {
        query = query.filter(dsl::user_id.eq(BlobUuid::from(user_id)));
    }
    if let Some(from) = filter.changed_from {
        query = query.filter(dsl::updated_at.ge(Micros::from(from)));
    }
    if let Some(before) = filter.changed_before {
        query = query.filter(dsl::updated_at.lt(Micros::from(before)));
    }
    if let Some(ids) = &filter.conversation_ids {
        query = query
            .filter(dsl::conversation_id.eq_any(ids.iter().copied().map(BlobUuid::from).collect::<Vec<_>>()));
    }
    query
}

/// When an import began whose age is told now.
fn began(now: DateTime<Utc>, age: TimeDelta) -> DateTime<Utc> {
    now.checked_sub_signed(age).unwrap_or(DateTime::UNIX_EPOCH)
}

pub(super) fn stood_still() -> RepositoryError {
    let reason =
        format!("the source stood still for {PATIENCE:?} in the middle of a conversation: run it again");
    RepositoryError::Overloaded { reason }
}

#[async_trait]
impl TransferRepository for Sqlite {
    #[tracing::instrument(name = "db.transfer.count_exported", skip_all)]
    async fn count_exported(&self, filter: ExportFilter) -> RepositoryResult<u64> {
        self.database
            .read(move |connection| {
                let count: i64 = taken(&filter).count().get_result(connection)?;
                Ok(u64::try_from(count).unwrap_or_default())
            })
            .await
    }

    fn export(&self, filter: ExportFilter) -> BoxStream<'static, RepositoryResult<Exported>> {
        self.stream_export(filter)
    }

    #[tracing::instrument(name = "db.transfer.import", skip_all, fields(conversations = conversations.len()))]
    async fn import(
        &self,
        conversations: Vec<IncomingConversation>,
        age: TimeDelta,
    ) -> RepositoryResult<Vec<Imported>> {
        // Before it waits for others who write: what they erase is erased since.
        let (file, began) = (self.database.file(), began(self.database.now(), age));
        self.database
            .write("the import", move |connection, now| {
                let mut imported = Vec::with_capacity(conversations.len());
                for incoming in conversations {
                    let refusal = incoming.validate().err();
                    let mut turns = incoming.turns.into_iter().map(Ok);
                    imported.push(match refusal {
                        Some(error) => Imported::Refused(Refusal::invalid(&error)),
                        None if is_erased(connection, &incoming.head, began)? => {
                            Imported::Refused(Refusal::deleted())
                        }
                        None => take_in(connection, &file, &incoming.head, &mut turns, now)?,
                    });
                }
                Ok(imported)
            })
            .await
    }

    #[tracing::instrument(
        name = "db.transfer.import_long",
        skip_all,
        fields(conversation_id = %head.conversation.conversation_id)
    )]
    async fn import_long(
        &self,
        head: IncomingHead,
        mut turns: BoxStream<'static, RepositoryResult<NewTurn>>,
        age: TimeDelta,
    ) -> RepositoryResult<Imported> {
        if let Err(error) = head.validate() {
            return Ok(Imported::Refused(Refusal::invalid(&error)));
        }
        let (file, runtime) = (self.database.file(), Handle::current());
        let began = began(self.database.now(), age);
        self.database
            .write(head.conversation.conversation_id, move |connection, now| {
                if is_erased(connection, &head, began)? {
                    return Ok(Imported::Refused(Refusal::deleted()));
                }
                let mut turns = std::iter::from_fn(|| {
                    let next = async { timeout(PATIENCE, turns.next()).await };
                    runtime.block_on(next).unwrap_or_else(|_| Some(Err(stood_still())))
                });
                take_in(connection, &file, &head, &mut turns, now)
            })
            .await
    }
}
