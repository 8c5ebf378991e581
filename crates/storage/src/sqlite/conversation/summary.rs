//! A list of summaries: one statement, which steps on as its rows are read.

use diesel::connection::DefaultLoadingMode;
use diesel::prelude::*;
use diesel::sqlite::{Sqlite as Backend, SqliteConnection};
use futures_util::stream::BoxStream;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{ConversationCursor, ConversationSummary, ListSummaries, RepositoryError, UserId};
use tokio::runtime::Handle;

use super::DELETED;
use crate::row::SummaryRecord;
use crate::sqlite::Sqlite;
use crate::sqlite::error::Failure;
use crate::sqlite::limited::perhaps_limited;
use crate::sqlite::row::{BlobUuid, Cell, Micros, Reader};
use crate::sqlite::schema::conversation_turns as turns;
use crate::sqlite::schema::conversations::dsl;
use crate::stream::{Rows, streamed};

#[derive(Queryable)]
struct SummaryRow {
    conversation_id: Cell<Vec<u8>>,
    external_id: Option<Cell<String>>,
    created_at: Cell<i64>,
    updated_at: Cell<i64>,
    status: Cell<String>,
    model_id: Cell<String>,
    turn_count: Cell<i64>,
    last_turn: Option<Cell<String>>,
    topic_summary: Option<Cell<String>>,
}

impl TryFrom<SummaryRow> for ConversationSummary {
    type Error = RepositoryError;

    fn try_from(row: SummaryRow) -> Result<Self, RepositoryError> {
        let reader = Reader::new("conversations", "conversation_id", row.conversation_id)?;
        SummaryRecord {
            conversation_id: reader.key(),
            external_id: reader.optional_text("external_id", row.external_id)?,
            created_at: reader.time("created_at", row.created_at)?,
            updated_at: reader.time("updated_at", row.updated_at)?,
            status: reader.text("status", row.status)?,
            model_id: reader.text("model_id", row.model_id)?,
            turn_count: reader.small_integer("turn_count", row.turn_count)?,
            last_turn: row.last_turn.map(|cell| reader.object("last_turn", cell)).transpose()?,
            topic_summary: reader.optional_text("topic_summary", row.topic_summary)?,
        }
        .try_into()
    }
}

impl Sqlite {
    pub(super) fn stream_summaries(
        &self,
        user_id: UserId,
        list: ListSummaries,
    ) -> BoxStream<'static, RepositoryResult<ConversationSummary>> {
        let database = self.database.clone();
        streamed(tracing::info_span!("db.conversation.summaries", %user_id), move |rows| async move {
            let runtime = Handle::current();
            database.read(move |connection| hand_on(connection, user_id, list, rows, &runtime)).await
        })
    }
}

/// Hands the rows on from the thread that may block, waiting for the reader there.
fn hand_on(
    connection: &mut SqliteConnection,
    user_id: UserId,
    list: ListSummaries,
    mut rows: Rows<ConversationSummary>,
    runtime: &Handle,
) -> Result<(), Failure> {
    newest_first(connection, user_id, list, |summary| Ok(runtime.block_on(rows.send(summary))?))
}

/// Shows `take` the user's conversations, newest first, as long as it wants more.
pub(super) fn newest_first(
    connection: &mut SqliteConnection,
    user_id: UserId,
    list: ListSummaries,
    mut take: impl FnMut(ConversationSummary) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let last_turn = turns::conversation_id
        .eq(dsl::conversation_id)
        .and(turns::turn_number.eq(dsl::turn_count))
        .and(turns::user_id.eq(dsl::user_id));
    let mut query = dsl::conversations
        .left_join(turns::table.on(last_turn))
        .filter(dsl::user_id.eq(BlobUuid::from(user_id)))
        .filter(dsl::status.ne(DELETED))
        .select((
            dsl::conversation_id,
            dsl::external_id,
            dsl::created_at,
            dsl::updated_at,
            dsl::status,
            dsl::model_id,
            dsl::turn_count,
            turns::metadata.nullable(),
            dsl::topic_summary,
        ))
        .into_boxed::<Backend>();
    if let Some(ConversationCursor { updated_at, conversation_id }) = list.after {
        let (time, id) = (Micros::from(updated_at), BlobUuid::from(conversation_id));
        let behind = dsl::updated_at.lt(time).or(dsl::updated_at.eq(time).and(dsl::conversation_id.gt(id)));
        query = query.filter(behind);
    }
    let query = query.order((dsl::updated_at.desc(), dsl::conversation_id));
    let query = perhaps_limited(query, list.limit.map(i64::from));
    for row in query.load_iter::<SummaryRow, DefaultLoadingMode>(connection)? {
        if !take(row?.try_into()?)? {
            break;
        }
    }
    Ok(())
}
