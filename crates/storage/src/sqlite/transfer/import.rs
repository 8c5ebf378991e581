//! An import: each conversation in a savepoint of its own.

use chrono::{DateTime, Utc};
use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::comparison::{Comparison, TurnKey};
use lcs_domain::transfer::{Imported, IncomingHead, Refusal};
use lcs_domain::turn::ContentHash;
use lcs_domain::{AgentState, Conversation, Metadata, NewTurn, RepositoryError, Text, TurnId};

use super::export::state_of;
use crate::row::Row;
use crate::sealed::Columns;
use crate::sqlite::conversation::find;
use crate::sqlite::error::Failure;
use crate::sqlite::limited::limited;
use crate::sqlite::row::{BlobUuid, Cell, Micros, Reader};
use crate::sqlite::schema::{agent_states, conversation_tombstones, conversation_turns, conversations};
use crate::sqlite::turn::{self, Payloads};

/// How many turns are compared by one statement.
const TURNS: usize = 256;

/// The turns that come along, one after the other.
type Turns<'a> = &'a mut dyn Iterator<Item = RepositoryResult<NewTurn>>;

#[derive(Insertable)]
#[diesel(table_name = conversations, treat_none_as_default_value = false)]
struct NewConversationRow<'a> {
    conversation_id: BlobUuid,
    user_id: BlobUuid,
    agent_id: BlobUuid,
    model_id: &'a str,
    system_prompt: Option<String>,
    created_at: Micros,
    updated_at: Micros,
    status: &'a str,
    metadata: &'a str,
    turn_count: i64,
    state_revision: i64,
    topic_summary: Option<String>,
    external_id: Option<String>,
}

#[derive(Insertable)]
#[diesel(table_name = agent_states, treat_none_as_default_value = false)]
struct NewStateRow {
    agent_id: BlobUuid,
    conversation_id: BlobUuid,
    user_id: BlobUuid,
    agent_config: Option<String>,
    agent_config_sealed: Option<Vec<u8>>,
    current_state: Option<String>,
    current_state_sealed: Option<Vec<u8>>,
    created_at: Micros,
    updated_at: Micros,
    revision: i64,
    through_turn: i64,
}

#[derive(Queryable)]
struct KeyRow {
    turn_id: Cell<Vec<u8>>,
    content_hash: Cell<Vec<u8>>,
    started_at: Cell<i64>,
    completed_at: Cell<i64>,
    metadata: Cell<String>,
}

impl TryFrom<KeyRow> for TurnKey {
    type Error = RepositoryError;

    fn try_from(row: KeyRow) -> RepositoryResult<Self> {
        let reader = Reader::new("conversation_turns", "turn_id", row.turn_id)?;
        let content_hash = reader.bytes("content_hash", row.content_hash)?;
        Ok(Self {
            turn_id: TurnId::from_uuid(reader.key()),
            content_hash: ContentHash::try_from(content_hash).map_err(|_| {
                Row { table: "conversation_turns", key: reader.key() }
                    .inconsistent("content_hash", "not 32 bytes")
            })?,
            started_at: reader.time("started_at", row.started_at)?,
            completed_at: reader.time("completed_at", row.completed_at)?,
            metadata: Metadata::from_stored(reader.object("metadata", row.metadata)?),
        })
    }
}

/// Stores a conversation with the turns that come along, or says why not; within the caller's transaction, and
/// whole or not at all. An error is the turns' own, or the database's.
pub(in crate::sqlite) fn take_in(
    connection: &mut SqliteConnection,
    file: &str,
    head: &IncomingHead,
    turns: Turns<'_>,
    now: DateTime<Utc>,
) -> Result<Imported, Failure> {
    let outcome = if let Some(stored) = find(connection, head.conversation.conversation_id)? {
        compare(connection, head, &stored, turns)
    } else if is_purged(connection, &head.conversation)? {
        Ok(Imported::Refused(Refusal::deleted()))
    } else {
        let stored = connection.transaction(|connection| store(connection, head, turns, now));
        stored.map(|()| Imported::Stored)
    };
    match outcome {
        Ok(imported) => Ok(imported),
        Err(failure) => Ok(Imported::of_refusal(failure.into_repository(file))?),
    }
}

fn is_purged(connection: &mut SqliteConnection, conversation: &Conversation) -> Result<bool, Failure> {
    let tombstone = conversation_tombstones::table.find(BlobUuid::from(conversation.conversation_id));
    Ok(diesel::select(exists(tombstone)).get_result(connection)?)
}

fn store(
    connection: &mut SqliteConnection,
    head: &IncomingHead,
    turns: Turns<'_>,
    now: DateTime<Utc>,
) -> Result<(), Failure> {
    let conversation = &head.conversation;
    let row = NewConversationRow {
        conversation_id: conversation.conversation_id.into(),
        user_id: conversation.user_id.into(),
        agent_id: conversation.agent_id.into(),
        model_id: &conversation.model_id,
        system_prompt: conversation.system_prompt.as_ref().map(Text::to_string),
        created_at: conversation.created_at.into(),
        updated_at: conversation.updated_at.min(now).into(),
        status: conversation.status.as_str(),
        metadata: conversation.metadata.as_json(),
        turn_count: conversation.turn_count.into(),
        state_revision: conversation.state_revision.cast_signed(),
        topic_summary: conversation.topic_summary.as_ref().map(Text::to_string),
        external_id: conversation.external_id.as_ref().map(Text::to_string),
    };
    diesel::insert_into(conversations::table).values(row).execute(connection)?;
    if let Some(state) = &head.agent_state {
        store_state(connection, state)?;
    }
    let mut came = 0;
    for turn in turns {
        let turn = turn?;
        came += 1;
        let (user_id, conversation_id) = (conversation.user_id, conversation.conversation_id);
        turn::insert(connection, user_id, conversation_id, came, &turn, &Payloads::of(&turn)?)?;
    }
    refuse_missing(conversation, came)?;
    Ok(())
}

fn store_state(connection: &mut SqliteConnection, state: &AgentState) -> Result<(), Failure> {
    let config = Columns::of(&state.agent_config)?;
    let current = Columns::of_option(state.current_state.as_ref())?;
    let row = NewStateRow {
        agent_id: state.agent_id.into(),
        conversation_id: state.conversation_id.into(),
        user_id: state.user_id.into(),
        agent_config: config.plain,
        agent_config_sealed: config.sealed,
        current_state: current.plain,
        current_state_sealed: current.sealed,
        created_at: state.created_at.into(),
        updated_at: state.updated_at.into(),
        revision: state.revision.cast_signed(),
        through_turn: state.through_turn.into(),
    };
    diesel::insert_into(agent_states::table).values(row).execute(connection)?;
    Ok(())
}

/// What becomes of a conversation whose id is that of a stored one.
fn compare(
    connection: &mut SqliteConnection,
    head: &IncomingHead,
    stored: &Conversation,
    turns: Turns<'_>,
) -> Result<Imported, Failure> {
    let state = state_of(connection, stored.conversation_id)?;
    let mut comparison = match Comparison::begin(head, stored, state.as_ref()) {
        Ok(comparison) => comparison,
        Err(refusal) => return Ok(Imported::Refused(refusal)),
    };
    loop {
        let some = turns.take(TURNS).collect::<RepositoryResult<Vec<_>>>()?;
        let rows = conversation_turns::table
            .filter(conversation_turns::conversation_id.eq(BlobUuid::from(stored.conversation_id)))
            .filter(conversation_turns::turn_number.gt(i64::from(comparison.compared())))
            .order(conversation_turns::turn_number)
            .select((
                conversation_turns::turn_id,
                conversation_turns::content_hash,
                conversation_turns::started_at,
                conversation_turns::completed_at,
                conversation_turns::metadata,
            ));
        let most = i64::try_from(some.len()).unwrap_or(i64::MAX);
        let rows: Vec<KeyRow> = limited(rows, most).load(connection)?;
        let keys = rows.into_iter().map(TurnKey::try_from).collect::<RepositoryResult<Vec<_>>>()?;
        if let Err(refusal) = comparison.turns(&some, &keys) {
            return Ok(Imported::Refused(refusal));
        }
        if some.len() < TURNS {
            break;
        }
    }
    refuse_missing(&head.conversation, comparison.compared())?;
    Ok(comparison.end())
}

fn refuse_missing(conversation: &Conversation, came: u32) -> RepositoryResult<()> {
    if came == conversation.turn_count {
        return Ok(());
    }
    let reason = format!("it says {}, and {came} came", conversation.turn_count);
    Err(RepositoryError::invalid("/turn_count", reason))
}
