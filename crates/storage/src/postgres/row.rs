//! Rows as PostgreSQL gives them, on their way to the records that all stores share.

use chrono::{DateTime, Utc};
use diesel::pg::Pg;
use diesel::prelude::*;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{Payload, RepositoryError};
use uuid::Uuid;

use super::json::{Json, Read};
use super::schema::{agent_states, conversation_turns, conversations};
use crate::row::{AgentStateRecord, ConversationRecord, TurnRecord};
use crate::sealed::{Columns, Stored};

/// The SQL types of the columns that `T` is read from.
pub(super) type ColumnsOf<T> = diesel::dsl::SqlTypeOf<<T as Selectable<Pg>>::SelectExpression>;

/// A row of `conversations`.
#[derive(Queryable, Selectable)]
#[diesel(table_name = conversations, check_for_backend(Pg))]
pub(super) struct ConversationRow {
    conversation_id: Uuid,
    user_id: Uuid,
    agent_id: Uuid,
    model_id: String,
    system_prompt: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    status: String,
    metadata: Json,
    turn_count: i32,
    state_revision: i64,
    topic_summary: Option<String>,
    external_id: Option<String>,
}

impl From<ConversationRow> for ConversationRecord {
    fn from(row: ConversationRow) -> Self {
        Self {
            conversation_id: row.conversation_id,
            user_id: row.user_id,
            agent_id: row.agent_id,
            model_id: row.model_id,
            system_prompt: row.system_prompt,
            created_at: row.created_at,
            updated_at: row.updated_at,
            status: row.status,
            metadata: row.metadata.0,
            turn_count: row.turn_count,
            state_revision: row.state_revision,
            topic_summary: row.topic_summary,
            external_id: row.external_id,
        }
    }
}

/// A row of `conversation_turns`, without what only the store needs.
#[derive(Queryable, Selectable)]
#[diesel(table_name = conversation_turns, check_for_backend(Pg))]
pub(super) struct TurnRow {
    turn_id: Uuid,
    conversation_id: Uuid,
    turn_number: i32,
    input_messages: Option<Read>,
    input_messages_sealed: Option<Vec<u8>>,
    output_message: Option<Read>,
    output_message_sealed: Option<Vec<u8>>,
    started_at: DateTime<Utc>,
    completed_at: DateTime<Utc>,
    metadata: Json,
}

impl From<TurnRow> for TurnRecord {
    fn from(row: TurnRow) -> Self {
        Self {
            turn_id: row.turn_id,
            conversation_id: row.conversation_id,
            turn_number: row.turn_number,
            input_messages: columns(row.input_messages, row.input_messages_sealed),
            output_message: columns(row.output_message, row.output_message_sealed),
            started_at: row.started_at,
            completed_at: row.completed_at,
            metadata: row.metadata.0,
        }
    }
}

/// A row of `agent_states`.
#[derive(Queryable, Selectable)]
#[diesel(table_name = agent_states, check_for_backend(Pg))]
pub(super) struct AgentStateRow {
    agent_id: Uuid,
    conversation_id: Uuid,
    user_id: Uuid,
    agent_config: Option<Read>,
    agent_config_sealed: Option<Vec<u8>>,
    current_state: Option<Read>,
    current_state_sealed: Option<Vec<u8>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    revision: i64,
    through_turn: i32,
}

impl From<AgentStateRow> for AgentStateRecord {
    fn from(row: AgentStateRow) -> Self {
        Self {
            agent_id: row.agent_id,
            conversation_id: row.conversation_id,
            user_id: row.user_id,
            agent_config: columns(row.agent_config, row.agent_config_sealed),
            current_state: columns(row.current_state, row.current_state_sealed),
            created_at: row.created_at,
            updated_at: row.updated_at,
            revision: row.revision,
            through_turn: row.through_turn,
        }
    }
}

fn columns(plain: Option<Read>, sealed: Option<Vec<u8>>) -> Stored {
    Stored { plain: plain.map(|read| read.0), sealed }
}

/// A payload as the binds of its two columns.
pub(super) type PayloadBinds = (Option<Json>, Option<Vec<u8>>);

/// The binds that store `payload`.
pub(super) fn binds(payload: Option<&Payload>) -> RepositoryResult<PayloadBinds> {
    let columns = Columns::of_option(payload)?;
    Ok((columns.plain.map(Json), columns.sealed))
}

/// A count as the number that the database keeps it as; one that it cannot hold is no count it could
/// ever have.
pub(super) fn count_bind(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(-1)
}

/// A revision as the number that the database keeps it as, as [`count_bind`].
pub(super) fn revision_bind(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(-1)
}

/// A statement that must give one row gave none.
pub(super) fn no_row() -> RepositoryError {
    RepositoryError::Backend { reason: "PostgreSQL gave no row where it must give one".into(), source: None }
}
