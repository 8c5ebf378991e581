//! An export: pages of heads and of turns, in one transaction that sees one snapshot.

use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::{ExportFilter, Exported};
use lcs_domain::{AgentState, Conversation, ConversationId, RepositoryError, Turn};
use tokio::runtime::Handle;
use uuid::Uuid;

use super::taken;
use crate::row::{AgentStateRecord, ConversationRecord, Row, TurnRecord};
use crate::sqlite::Sqlite;
use crate::sqlite::error::Failure;
use crate::sqlite::limited::limited;
use crate::sqlite::row::{AgentStateRow, BlobUuid, ConversationRow, TurnRow};
use crate::sqlite::schema::conversations::dsl;
use crate::sqlite::schema::{agent_states, conversation_turns as turns};
use crate::stream::{OPERATORS_PATIENCE, Rows, streamed_for};

/// How many conversations are read at once.
const HEADS: i64 = 64;
/// How many turns are.
const TURNS: i64 = 256;

impl Sqlite {
    pub(super) fn stream_export(
        &self,
        filter: ExportFilter,
    ) -> BoxStream<'static, RepositoryResult<Exported>> {
        let database = self.database.clone();
        let span = tracing::info_span!("db.transfer.export");
        streamed_for(OPERATORS_PATIENCE, span, move |rows| async move {
            let runtime = Handle::current();
            let mut reader = Reader { rows, runtime };
            database.read_snapshot(move |connection| reader.hand_on(connection, &filter)).await
        })
        .map_ok(|some: Vec<Exported>| stream::iter(some).map(Ok))
        .try_flatten()
        .boxed()
    }
}

/// Who reads the export, waited for on a thread that may block.
struct Reader {
    rows: Rows<Vec<Exported>>,
    runtime: Handle,
}

impl Reader {
    /// Whether anybody still reads.
    fn send(&mut self, some: Vec<Exported>) -> RepositoryResult<bool> {
        self.runtime.block_on(self.rows.send(some))
    }

    fn hand_on(&mut self, connection: &mut SqliteConnection, filter: &ExportFilter) -> Result<(), Failure> {
        let mut after = Uuid::nil();
        loop {
            let rows = taken(filter)
                .filter(dsl::conversation_id.gt(BlobUuid::from(after)))
                .order(dsl::conversation_id)
                .select(ConversationRow::as_select());
            let rows: Vec<ConversationRow> = limited(rows, HEADS).load(connection)?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in rows {
                let conversation: Conversation = ConversationRecord::try_from(row)?.try_into()?;
                after = conversation.conversation_id.into();
                if !self.one(connection, conversation)? {
                    return Ok(());
                }
            }
        }
    }

    /// Hands a conversation on with all that belongs to it.
    fn one(
        &mut self,
        connection: &mut SqliteConnection,
        conversation: Conversation,
    ) -> Result<bool, Failure> {
        let (id, turn_count) = (conversation.conversation_id, conversation.turn_count);
        let state = state_of(connection, id)?.map(|state| Exported::AgentState(Box::new(state)));
        let mut some = vec![Exported::Conversation(Box::new(conversation))];
        some.extend(state);
        let mut seen = 0;
        loop {
            let rows = turns::table
                .filter(turns::conversation_id.eq(BlobUuid::from(id)))
                .filter(turns::turn_number.gt(i64::from(seen)))
                .order(turns::turn_number)
                .select(TurnRow::as_select());
            let rows: Vec<TurnRow> = limited(rows, TURNS).load(connection)?;
            let is_last = (rows.len() as u64) < TURNS.unsigned_abs();
            for row in rows {
                let turn: Turn = TurnRecord::try_from(row)?.try_into()?;
                seen += 1;
                if turn.turn_number != seen {
                    return Err(miscounted(id).into());
                }
                some.push(Exported::Turn(Box::new(turn)));
            }
            if is_last && seen != turn_count {
                return Err(miscounted(id).into());
            }
            if !self.send(std::mem::take(&mut some))? {
                return Ok(false);
            }
            if is_last {
                return Ok(true);
            }
        }
    }
}

/// The state of the agent that speaks in this conversation, whatever the conversation's status.
pub(in crate::sqlite) fn state_of(
    connection: &mut SqliteConnection,
    conversation_id: ConversationId,
) -> Result<Option<AgentState>, Failure> {
    let row: Option<AgentStateRow> = agent_states::table
        .filter(agent_states::conversation_id.eq(BlobUuid::from(conversation_id)))
        .select(AgentStateRow::as_select())
        .get_result(connection)
        .optional()?;
    Ok(row.map(AgentStateRecord::try_from).transpose()?.map(AgentState::try_from).transpose()?)
}

fn miscounted(conversation_id: ConversationId) -> RepositoryError {
    let row = Row { table: "conversations", key: conversation_id.into() };
    row.inconsistent("turn_count", "its turns are not numbered from 1 to this: run `lcs-persistence doctor`")
}
