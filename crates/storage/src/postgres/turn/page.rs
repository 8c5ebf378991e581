//! Reading a page of turns.

use diesel::sql_types::{BigInt, Integer, Nullable, Uuid as SqlUuid};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{ConversationId, Durability, PageLimit, Turn, TurnPage, TurnRange, UserId};
use uuid::Uuid;

use crate::postgres::Postgres;
use crate::postgres::row::{ColumnsOf, TurnRow};
use crate::postgres::statement::statement;
use crate::row::{Row, TurnRecord};

statement! {
    /// The head and a range of turns, in one snapshot.
    Page(include_str!("page.sql")) -> (Integer, Nullable<ColumnsOf<TurnRow>>) {
        user_id: Uuid as SqlUuid,
        conversation_id: Uuid as SqlUuid,
        after: Option<i64> as Nullable<BigInt>,
        before: Option<i64> as Nullable<BigInt>,
        limit: i64 as BigInt,
    }
}

impl Postgres {
    pub(super) async fn page_of_turns(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        range: TurnRange,
        limit: PageLimit,
    ) -> RepositoryResult<Option<TurnPage>> {
        let (after, before) = bounds(range);
        let query = Page {
            user_id: user_id.into(),
            conversation_id: conversation_id.into(),
            after,
            before,
            limit: limit.get().into(),
        };
        page_of_rows(conversation_id, self.read(user_id, &query).await?)
    }
}

/// The numbers that a page of `range` is between: one of them.
pub(in crate::postgres) fn bounds(range: TurnRange) -> (Option<i64>, Option<i64>) {
    match range {
        TurnRange::After(number) => (Some(number.into()), None),
        TurnRange::Before(number) => (None, Some(number.into())),
        TurnRange::Newest => (None, Some(i64::MAX)),
    }
}

/// The page that `rows` make: the head's turn count, beside each turn or none.
pub(in crate::postgres) fn page_of_rows(
    conversation_id: ConversationId,
    rows: Vec<(i32, Option<TurnRow>)>,
) -> RepositoryResult<Option<TurnPage>> {
    let Some((turn_count, _)) = rows.first() else { return Ok(None) };
    let row = Row { table: "conversations", key: conversation_id.into() };
    let turn_count = row.count("turn_count", *turn_count)?;
    let turns = rows.into_iter().filter_map(|(_, turn)| turn).map(|turn| TurnRecord::from(turn).try_into());
    Ok(Some(TurnPage {
        turns: turns.collect::<Result<Vec<Turn>, _>>()?,
        turn_count,
        durability: Durability::Durable,
    }))
}
