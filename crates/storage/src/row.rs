//! Rows as the databases give them, in types that both have, and their conversion to the domain's.
//!
//! A row that cannot be converted is [`RepositoryError::Inconsistent`] with its table, column and key:
//! never skipped, never guessed at.

use chrono::{DateTime, Utc};
use lcs_domain::{
    AgentId, AgentState, Conversation, ConversationId, ConversationStatus, ConversationSummary, Durability,
    Keep, Metadata, RepositoryError, Text, Turn, TurnId, UnknownStatus, UserId,
};
use uuid::Uuid;

use crate::sealed::Stored;

/// A row of `conversations`.
#[derive(Debug)]
pub(crate) struct ConversationRecord {
    pub(crate) conversation_id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) agent_id: Uuid,
    pub(crate) model_id: String,
    pub(crate) system_prompt: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) status: Result<ConversationStatus, UnknownStatus>,
    pub(crate) metadata: Metadata,
    pub(crate) turn_count: i32,
    pub(crate) state_revision: i64,
    pub(crate) topic_summary: Option<String>,
    pub(crate) external_id: Option<String>,
}

impl TryFrom<ConversationRecord> for Conversation {
    type Error = RepositoryError;

    fn try_from(record: ConversationRecord) -> Result<Self, RepositoryError> {
        let row = Row { table: "conversations", key: record.conversation_id };
        Ok(Self {
            conversation_id: ConversationId::from_uuid(record.conversation_id),
            user_id: UserId::from_uuid(record.user_id),
            agent_id: AgentId::from_uuid(record.agent_id),
            model_id: Text::from_stored(record.model_id),
            system_prompt: record.system_prompt.map(Text::from_stored),
            created_at: record.created_at,
            updated_at: record.updated_at,
            status: record.status.map_err(|_| row.inconsistent("status", "not a known status"))?,
            metadata: record.metadata,
            turn_count: row.count("turn_count", record.turn_count)?,
            state_revision: row.revision("state_revision", record.state_revision)?,
            topic_summary: record.topic_summary.map(Text::from_stored),
            external_id: record.external_id.map(Text::from_stored),
            durability: Durability::Durable,
        })
    }
}

/// A row of a list of conversations.
#[derive(Debug)]
pub(crate) struct SummaryRecord {
    pub(crate) conversation_id: Uuid,
    pub(crate) external_id: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) status: String,
    pub(crate) model_id: String,
    pub(crate) turn_count: i32,
    pub(crate) last_turn: Option<String>,
    pub(crate) topic_summary: Option<String>,
}

impl TryFrom<SummaryRecord> for ConversationSummary {
    type Error = RepositoryError;

    fn try_from(record: SummaryRecord) -> Result<Self, RepositoryError> {
        let row = Row { table: "conversations", key: record.conversation_id };
        Ok(Self {
            conversation_id: ConversationId::from_uuid(record.conversation_id),
            external_id: record.external_id.map(Text::from_stored),
            created_at: record.created_at,
            updated_at: record.updated_at,
            status: record.status.parse().map_err(|_| row.inconsistent("status", "not a known status"))?,
            model_id: Text::from_stored(record.model_id),
            turn_count: row.count("turn_count", record.turn_count)?,
            last_turn: record.last_turn.map(Metadata::from_stored),
            topic_summary: record.topic_summary.map(Text::from_stored),
        })
    }
}

/// A row of `conversation_turns`.
#[derive(Debug)]
pub(crate) struct TurnRecord {
    pub(crate) turn_id: Uuid,
    pub(crate) conversation_id: Uuid,
    pub(crate) turn_number: i32,
    pub(crate) input_messages: Stored,
    pub(crate) output_message: Stored,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) completed_at: DateTime<Utc>,
    pub(crate) metadata: Metadata,
}

impl TryFrom<TurnRecord> for Turn {
    type Error = RepositoryError;

    fn try_from(record: TurnRecord) -> Result<Self, RepositoryError> {
        let row = Row { table: "conversation_turns", key: record.turn_id };
        Ok(Self {
            turn_id: TurnId::from_uuid(record.turn_id),
            conversation_id: ConversationId::from_uuid(record.conversation_id),
            turn_number: row.count("turn_number", record.turn_number)?,
            input_messages: row.required("input_messages", record.input_messages)?,
            output_message: row.optional("output_message", record.output_message)?,
            started_at: record.started_at,
            completed_at: record.completed_at,
            metadata: record.metadata,
        })
    }
}

/// A row of `agent_states`.
#[derive(Debug)]
pub(crate) struct AgentStateRecord {
    pub(crate) agent_id: Uuid,
    pub(crate) conversation_id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) agent_config: Stored,
    pub(crate) current_state: Stored,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) revision: i64,
    pub(crate) through_turn: i32,
}

impl TryFrom<AgentStateRecord> for AgentState {
    type Error = RepositoryError;

    fn try_from(record: AgentStateRecord) -> Result<Self, RepositoryError> {
        let row = Row { table: "agent_states", key: record.agent_id };
        Ok(Self {
            agent_id: AgentId::from_uuid(record.agent_id),
            conversation_id: ConversationId::from_uuid(record.conversation_id),
            user_id: UserId::from_uuid(record.user_id),
            agent_config: row.required("agent_config", record.agent_config)?,
            current_state: row.optional("current_state", record.current_state)?,
            created_at: record.created_at,
            updated_at: record.updated_at,
            revision: row.revision("revision", record.revision)?,
            through_turn: row.count("through_turn", record.through_turn)?,
            durability: Durability::Durable,
        })
    }
}

/// Names the row that is being converted, for errors.
pub(crate) struct Row {
    pub(crate) table: &'static str,
    pub(crate) key: Uuid,
}

impl Row {
    pub(crate) fn inconsistent(&self, column: &'static str, reason: &str) -> RepositoryError {
        RepositoryError::Inconsistent {
            table: self.table,
            column,
            row: self.key.to_string(),
            reason: reason.to_owned(),
        }
    }

    /// How long so many days of a user's own retention say; none: for ever.
    pub(crate) fn keep(&self, idle_days: Option<u32>) -> Result<Keep, RepositoryError> {
        let days = idle_days.map_or(Ok(Keep::Forever), Keep::days);
        days.map_err(|_| self.inconsistent("idle_days", "not a number of days that this program knows"))
    }

    pub(crate) fn count(&self, column: &'static str, value: i32) -> Result<u32, RepositoryError> {
        u32::try_from(value).map_err(|_| self.inconsistent(column, "negative"))
    }

    pub(crate) fn revision(&self, column: &'static str, value: i64) -> Result<u64, RepositoryError> {
        u64::try_from(value).map_err(|_| self.inconsistent(column, "negative"))
    }

    fn optional(
        &self,
        column: &'static str,
        columns: Stored,
    ) -> Result<Option<lcs_domain::Payload>, RepositoryError> {
        columns.into_payload().map_err(|reason| self.inconsistent(column, reason))
    }

    fn required(
        &self,
        column: &'static str,
        columns: Stored,
    ) -> Result<lcs_domain::Payload, RepositoryError> {
        self.optional(column, columns)?
            .ok_or_else(|| self.inconsistent(column, "no payload in either column"))
    }
}
