//! Rows as PostgreSQL gives them, on their way to the records that all stores share.

use chrono::{DateTime, Utc};
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::pg::{Pg, PgValue};
use diesel::prelude::*;
use diesel::sql_types::Text as SqlText;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{ConversationStatus, Payload, RepositoryError, UnknownStatus};
use uuid::Uuid;

use super::json::{Json, Read, ReadMetadata};
use super::schema::{agent_states, conversation_turns, conversations};
use crate::row::{AgentStateRecord, ConversationRecord, TurnRecord};
use crate::sealed::{Columns, Stored};

/// The SQL types of the columns that `T` is read from.
pub(super) type ColumnsOf<T> = diesel::dsl::SqlTypeOf<<T as Selectable<Pg>>::SelectExpression>;

/// A conversation's status, made out where it stands in the connection's buffer.
#[derive(Debug, FromSqlRow)]
pub(super) struct Status(Result<ConversationStatus, UnknownStatus>);

impl FromSql<SqlText, Pg> for Status {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(std::str::from_utf8(value.as_bytes())?.parse()))
    }
}

/// A row of `conversations` of a user who is known: no row says it again.
#[derive(Queryable, Selectable)]
#[diesel(table_name = conversations, check_for_backend(Pg))]
pub(super) struct ConversationRow {
    conversation_id: Uuid,
    agent_id: Uuid,
    model_id: String,
    system_prompt: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    status: Status,
    metadata: ReadMetadata,
    turn_count: i32,
    state_revision: i64,
    topic_summary: Option<String>,
    external_id: Option<String>,
}

impl ConversationRow {
    pub(super) const fn conversation_id(&self) -> Uuid {
        self.conversation_id
    }

    /// This user's.
    pub(super) fn of(self, user_id: impl Into<Uuid>) -> ConversationRecord {
        ConversationRecord {
            conversation_id: self.conversation_id,
            user_id: user_id.into(),
            agent_id: self.agent_id,
            model_id: self.model_id,
            system_prompt: self.system_prompt,
            created_at: self.created_at,
            updated_at: self.updated_at,
            status: self.status.0,
            metadata: self.metadata.0,
            turn_count: self.turn_count,
            state_revision: self.state_revision,
            topic_summary: self.topic_summary,
            external_id: self.external_id,
        }
    }
}

/// A row of `conversations`, with whose it is.
#[derive(Queryable, Selectable)]
#[diesel(table_name = conversations, check_for_backend(Pg))]
pub(super) struct OwnedConversationRow {
    user_id: Uuid,
    #[diesel(embed)]
    row: ConversationRow,
}

impl From<OwnedConversationRow> for ConversationRecord {
    fn from(owned: OwnedConversationRow) -> Self {
        owned.row.of(owned.user_id)
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
    metadata: ReadMetadata,
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

/// A row of `agent_states` of a user who is known: no row says it again.
#[derive(Queryable, Selectable)]
#[diesel(table_name = agent_states, check_for_backend(Pg))]
pub(super) struct AgentStateRow {
    agent_id: Uuid,
    conversation_id: Uuid,
    agent_config: Option<Read>,
    agent_config_sealed: Option<Vec<u8>>,
    current_state: Option<Read>,
    current_state_sealed: Option<Vec<u8>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    revision: i64,
    through_turn: i32,
}

impl AgentStateRow {
    /// This user's.
    pub(super) fn of(self, user_id: impl Into<Uuid>) -> AgentStateRecord {
        AgentStateRecord {
            agent_id: self.agent_id,
            conversation_id: self.conversation_id,
            user_id: user_id.into(),
            agent_config: columns(self.agent_config, self.agent_config_sealed),
            current_state: columns(self.current_state, self.current_state_sealed),
            created_at: self.created_at,
            updated_at: self.updated_at,
            revision: self.revision,
            through_turn: self.through_turn,
        }
    }
}

/// A row of `agent_states`, with whose it is.
#[derive(Queryable, Selectable)]
#[diesel(table_name = agent_states, check_for_backend(Pg))]
pub(super) struct OwnedAgentStateRow {
    user_id: Uuid,
    #[diesel(embed)]
    row: AgentStateRow,
}

impl From<OwnedAgentStateRow> for AgentStateRecord {
    fn from(owned: OwnedAgentStateRow) -> Self {
        owned.row.of(owned.user_id)
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
