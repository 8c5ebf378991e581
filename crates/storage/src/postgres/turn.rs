//! Turns in PostgreSQL.

mod append;
mod page;

use async_trait::async_trait;
use diesel::prelude::*;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AppendTurn, Appended, ConversationId, ConversationStatus, PageLimit, Turn, TurnId, TurnPage, TurnRange,
    TurnRepository, UserId,
};
use uuid::Uuid;

pub(super) use self::append::Append;
pub(super) use self::page::{bounds, page_of_rows};
use super::Postgres;
use super::row::TurnRow;
use super::schema::{conversation_turns, conversations};
use crate::row::TurnRecord;

#[async_trait]
impl TurnRepository for Postgres {
    #[tracing::instrument(
        name = "db.turn.append",
        skip_all,
        fields(%user_id, conversation_id = %append.conversation_id, turn_id = %append.turn.turn_id())
    )]
    async fn append(&self, user_id: UserId, append: AppendTurn) -> RepositoryResult<Appended> {
        self.append_turn(user_id, append).await
    }

    #[tracing::instrument(name = "db.turn.get", skip_all, fields(%user_id, %conversation_id, %turn_id))]
    async fn get(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        turn_id: TurnId,
    ) -> RepositoryResult<Option<Turn>> {
        let query = open_turns(user_id)
            .filter(conversation_turns::turn_id.eq(*turn_id.as_uuid()))
            .filter(conversation_turns::conversation_id.eq(*conversation_id.as_uuid()))
            .select(TurnRow::as_select());
        let rows: Vec<TurnRow> = self.read(user_id, &query).await?;
        rows.into_iter().next().map(|row| TurnRecord::from(row).try_into()).transpose()
    }

    #[tracing::instrument(name = "db.turn.page", skip_all, fields(%user_id, %conversation_id))]
    async fn page(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        range: TurnRange,
        limit: PageLimit,
    ) -> RepositoryResult<Option<TurnPage>> {
        self.page_of_turns(user_id, conversation_id, range, limit).await
    }
}

/// The user's turns whose conversations are not deleted.
#[diesel::dsl::auto_type(no_type_alias)]
fn open_turns(user_id: UserId) -> _ {
    let user_id: Uuid = *user_id.as_uuid();
    let deleted: &'static str = ConversationStatus::Deleted.as_str();
    conversation_turns::table
        .inner_join(conversations::table)
        .filter(conversation_turns::user_id.eq(user_id))
        .filter(conversations::user_id.eq(user_id))
        .filter(conversations::status.ne(deleted))
}
