//! Turns in SQLite.

mod group;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::BigInt;
use diesel::sqlite::{Sqlite as Backend, SqliteConnection};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AppendTurn, Appended, ConversationId, ConversationStatus, Durability, Entity, NewTurn, PageLimit,
    RepositoryError, Turn, TurnId, TurnPage, TurnRange, TurnRepository, UserId,
};

pub(super) use self::group::Appends;
use super::Sqlite;
use super::agent_state::{self, StoreState};
use super::conversation::{DELETED, Place, find_place};
use super::error::Failure;
use super::limited::limited;
use super::row::{BlobUuid, Cell, Micros, Reader, TurnRow};
use super::schema::conversation_turns::{self, dsl};
use super::schema::conversations;
use crate::row::TurnRecord;
use crate::sealed::Columns;

diesel::define_sql_function! {
    /// The greater of two times.
    fn max(one: BigInt, other: BigInt) -> BigInt;
}

#[derive(Insertable)]
#[diesel(table_name = conversation_turns, treat_none_as_default_value = false)]
struct NewRow<'a> {
    turn_id: BlobUuid,
    conversation_id: BlobUuid,
    user_id: BlobUuid,
    turn_number: i64,
    input_messages: Option<String>,
    input_messages_sealed: Option<Vec<u8>>,
    output_message: Option<String>,
    output_message_sealed: Option<Vec<u8>>,
    started_at: Micros,
    completed_at: Micros,
    metadata: &'a str,
    content_hash: &'a [u8],
}

/// Moves a conversation's head on. A fragment of our own, because Diesel prepares its updates anew each
/// time, and every append and save runs this one.
#[derive(QueryId)]
pub(super) struct AdvanceHead {
    pub(super) conversation_id: BlobUuid,
    pub(super) turns: i64,
    pub(super) revisions: i64,
    pub(super) now: Micros,
}

impl QueryFragment<Backend> for AdvanceHead {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Backend>) -> QueryResult<()> {
        out.push_sql("UPDATE conversations SET turn_count = turn_count + ");
        out.push_bind_param::<BigInt, _>(&self.turns)?;
        out.push_sql(", state_revision = state_revision + ");
        out.push_bind_param::<BigInt, _>(&self.revisions)?;
        out.push_sql(", updated_at = max(updated_at, ");
        out.push_bind_param::<BigInt, _>(&self.now)?;
        out.push_sql(") WHERE conversation_id = ");
        out.push_bind_param::<diesel::sql_types::Binary, _>(&self.conversation_id)
    }
}

impl RunQueryDsl<SqliteConnection> for AdvanceHead {}

/// Where a turn id is already used.
enum Known {
    /// By this very turn, in this place.
    Replay(u32),
    /// By another turn of this conversation.
    Other,
    /// In another conversation, which the caller learns last.
    Elsewhere,
}

fn find_known(
    connection: &mut SqliteConnection,
    conversation_id: ConversationId,
    turn: &NewTurn,
) -> Result<Option<Known>, Failure> {
    type Row = (Cell<Vec<u8>>, Cell<Vec<u8>>, Cell<i64>, Cell<Vec<u8>>);
    let row: Option<Row> = dsl::conversation_turns
        .filter(dsl::turn_id.eq(BlobUuid::from(turn.turn_id())))
        .select((dsl::turn_id, dsl::conversation_id, dsl::turn_number, dsl::content_hash))
        .get_result(connection)
        .optional()?;
    let Some((key, conversation, turn_number, content_hash)) = row else {
        return Ok(None);
    };
    let reader = Reader::new("conversation_turns", "turn_id", key)?;
    if reader.uuid("conversation_id", conversation)? != *conversation_id.as_uuid() {
        return Ok(Some(Known::Elsewhere));
    }
    let number = reader.count("turn_number", turn_number)?;
    let same = reader.bytes("content_hash", content_hash)? == turn.content_hash();
    Ok(Some(if same { Known::Replay(number) } else { Known::Other }))
}

/// A turn's payloads as they are stored: made before the write lock is taken.
pub(super) struct Payloads {
    input: Columns,
    output: Columns,
}

impl Payloads {
    pub(super) fn of(turn: &NewTurn) -> RepositoryResult<Self> {
        let output = Columns::of_option(turn.output_message())?;
        Ok(Self { input: Columns::of(turn.input_messages())?, output })
    }
}

/// Stores the turn in its place. The head is the caller's to move.
pub(super) fn insert(
    connection: &mut SqliteConnection,
    user_id: UserId,
    conversation_id: ConversationId,
    turn_number: u32,
    turn: &NewTurn,
    Payloads { input, output }: &Payloads,
) -> Result<(), Failure> {
    let row = NewRow {
        turn_id: turn.turn_id().into(),
        conversation_id: conversation_id.into(),
        user_id: user_id.into(),
        turn_number: turn_number.into(),
        input_messages: input.plain.clone(),
        input_messages_sealed: input.sealed.clone(),
        output_message: output.plain.clone(),
        output_message_sealed: output.sealed.clone(),
        started_at: turn.started_at().into(),
        completed_at: turn.completed_at().into(),
        metadata: turn.metadata().as_json(),
        content_hash: turn.content_hash(),
    };
    diesel::insert_into(dsl::conversation_turns).values(row).execute(connection)?;
    Ok(())
}

/// What an append comes to, in the order of precedence that the port gives. `Some` is a replay.
fn decide(place: &Place, known: Option<&Known>, append: &AppendTurn) -> RepositoryResult<Option<Appended>> {
    let mismatch = || RepositoryError::IdempotencyMismatch { turn_id: append.turn.turn_id() };
    match known {
        Some(&Known::Replay(turn_number)) => {
            return Ok(Some(Appended {
                turn_number: Some(turn_number),
                state_revision: place.state_revision,
                replayed: true,
                durability: Durability::Durable,
            }));
        }
        Some(Known::Other) => return Err(mismatch()),
        Some(Known::Elsewhere) | None => {}
    }
    if place.status == ConversationStatus::Archived {
        return Err(RepositoryError::Closed { entity: Entity::Conversation });
    }
    if append.agent_state.as_ref().is_some_and(|state| state.agent_id != place.agent_id) {
        return Err(RepositoryError::not_found(Entity::AgentState));
    }
    if let Some(expected) = append.expected_turn_count.filter(|expected| *expected != place.turn_count) {
        return Err(RepositoryError::Conflict {
            entity: Entity::Conversation,
            expected: expected.into(),
            observed: place.turn_count.into(),
        });
    }
    if let Some(state) = &append.agent_state {
        agent_state::expect_revision(place, state.expected_revision)?;
    }
    if known.is_some() { Err(mismatch()) } else { Ok(None) }
}

/// An append, ready for its transaction.
struct Append {
    user_id: UserId,
    command: AppendTurn,
    payloads: Payloads,
    state: Option<StoreState>,
}

impl Append {
    fn new(user_id: UserId, command: AppendTurn) -> RepositoryResult<Self> {
        let payloads = Payloads::of(&command.turn)?;
        let state = command.agent_state.as_ref().map(|state| {
            StoreState::new(
                user_id,
                command.conversation_id,
                state.agent_id,
                state.agent_config.as_ref(),
                Some(&state.current_state),
            )
        });
        Ok(Self { user_id, payloads, state: state.transpose()?, command })
    }

    /// Appends, or refuses and writes nothing. The outer error is a failure, after which the transaction has to
    /// be rolled back.
    fn apply(
        &self,
        connection: &mut SqliteConnection,
        now: DateTime<Utc>,
    ) -> Result<RepositoryResult<Appended>, Failure> {
        let (place, replayed) = match self.decide(connection) {
            Err(Failure::Refused(refusal)) => return Ok(Err(refusal)),
            decided => decided?,
        };
        if let Some(replayed) = replayed {
            return Ok(Ok(replayed));
        }
        let Self { user_id, command: AppendTurn { conversation_id, turn, .. }, payloads, state } = self;
        let turn_number = place.turn_count + 1;
        let state_revision = place.state_revision + u64::from(state.is_some());
        insert(connection, *user_id, *conversation_id, turn_number, turn, payloads)?;
        AdvanceHead {
            conversation_id: (*conversation_id).into(),
            turns: 1,
            revisions: i64::from(state.is_some()),
            now: now.into(),
        }
        .execute(connection)?;
        if let Some(state) = state {
            state.clone().store(connection, state_revision, turn_number, now)?;
        }
        Ok(Ok(Appended {
            turn_number: Some(turn_number),
            state_revision,
            replayed: false,
            durability: Durability::Durable,
        }))
    }

    /// Where the turn goes; `Some` beside it is a replay.
    fn decide(&self, connection: &mut SqliteConnection) -> Result<(Place, Option<Appended>), Failure> {
        let AppendTurn { conversation_id, turn, .. } = &self.command;
        let place = find_place(connection, self.user_id, *conversation_id)?
            .ok_or(RepositoryError::not_found(Entity::Conversation))?;
        let known = find_known(connection, *conversation_id, turn)?;
        let replayed = decide(&place, known.as_ref(), &self.command)?;
        Ok((place, replayed))
    }
}

/// Turns of the user's conversation, turn numbers rising.
pub(super) fn turns(
    connection: &mut SqliteConnection,
    user_id: UserId,
    conversation_id: ConversationId,
    range: TurnRange,
    limit: PageLimit,
) -> Result<Vec<Turn>, Failure> {
    let turns = dsl::conversation_turns
        .filter(dsl::conversation_id.eq(BlobUuid::from(conversation_id)))
        .filter(dsl::user_id.eq(BlobUuid::from(user_id)))
        .select(TurnRow::as_select());
    let limit = limit.get().into();
    let before = |number: i64| turns.filter(dsl::turn_number.lt(number)).order(dsl::turn_number.desc());
    let mut rows: Vec<TurnRow> = match range {
        TurnRange::After(number) => {
            let after = turns.filter(dsl::turn_number.gt(i64::from(number))).order(dsl::turn_number);
            limited(after, limit).load(connection)?
        }
        TurnRange::Before(number) => limited(before(number.into()), limit).load(connection)?,
        TurnRange::Newest => limited(before(i64::MAX), limit).load(connection)?,
    };
    if !matches!(range, TurnRange::After(_)) {
        rows.reverse();
    }
    Ok(rows
        .into_iter()
        .map(|row| TurnRecord::try_from(row)?.try_into())
        .collect::<RepositoryResult<Vec<Turn>>>()?)
}

#[async_trait]
impl TurnRepository for Sqlite {
    #[tracing::instrument(name = "db.turn.append", skip_all, fields(%user_id, conversation_id = %append.conversation_id, turn_id = %append.turn.turn_id()))]
    async fn append(&self, user_id: UserId, append: AppendTurn) -> RepositoryResult<Appended> {
        let append = Append::new(user_id, append)?;
        if let Some(appends) = &self.appends {
            return appends.join(&self.database, append).await;
        }
        let key = append.command.turn.turn_id();
        self.database.write(key, move |connection, now| append.apply(connection, now)).await?
    }

    #[tracing::instrument(name = "db.turn.get", skip_all, fields(%user_id, %conversation_id, %turn_id))]
    async fn get(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        turn_id: TurnId,
    ) -> RepositoryResult<Option<Turn>> {
        self.database
            .read(move |connection| {
                let row: Option<TurnRow> = dsl::conversation_turns
                    .inner_join(conversations::table)
                    .filter(dsl::turn_id.eq(BlobUuid::from(turn_id)))
                    .filter(dsl::conversation_id.eq(BlobUuid::from(conversation_id)))
                    .filter(dsl::user_id.eq(BlobUuid::from(user_id)))
                    .filter(conversations::user_id.eq(BlobUuid::from(user_id)))
                    .filter(conversations::status.ne(DELETED))
                    .select(TurnRow::as_select())
                    .get_result(connection)
                    .optional()?;
                Ok(row.map(TurnRecord::try_from).transpose()?.map(Turn::try_from).transpose()?)
            })
            .await
    }

    #[tracing::instrument(name = "db.turn.page", skip_all, fields(%user_id, %conversation_id))]
    async fn page(
        &self,
        user_id: UserId,
        conversation_id: ConversationId,
        range: TurnRange,
        limit: PageLimit,
    ) -> RepositoryResult<Option<TurnPage>> {
        self.database
            .read_snapshot(move |connection| {
                let Some(place) = find_place(connection, user_id, conversation_id)? else {
                    return Ok(None);
                };
                let turns = turns(connection, user_id, conversation_id, range, limit)?;
                Ok(Some(TurnPage { turns, turn_count: place.turn_count, durability: Durability::Durable }))
            })
            .await
    }
}
