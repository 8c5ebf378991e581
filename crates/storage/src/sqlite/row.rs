//! Rows in SQLite's types, and their conversion to the records that all stores share.
//!
//! SQLite gives whatever stands in a column as whatever it is asked for. A [`Cell`] asks first, so that a
//! damaged value is told with its table, column and row, and is never passed on.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use diesel::deserialize::{self, FromSql, Queryable};
use diesel::expression::AsExpression;
use diesel::prelude::*;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{BigInt, Binary, Text};
use diesel::sqlite::{Sqlite, SqliteType, SqliteValue};
use lcs_domain::{Metadata, Payload, RepositoryError};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::schema::{agent_states, conversation_turns, conversations};
use crate::row::{AgentStateRecord, ConversationRecord, Row, TurnRecord};
use crate::sealed::Stored;

/// A UUID as its 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression)]
#[diesel(sql_type = Binary)]
pub(super) struct BlobUuid(Uuid);

impl<T: Into<Uuid>> From<T> for BlobUuid {
    fn from(id: T) -> Self {
        Self(id.into())
    }
}

impl ToSql<Binary, Sqlite> for BlobUuid {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0.as_bytes().as_slice());
        Ok(IsNull::No)
    }
}

/// A time as microseconds since 1970, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression)]
#[diesel(sql_type = BigInt)]
pub(super) struct Micros(i64);

impl From<DateTime<Utc>> for Micros {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.timestamp_micros())
    }
}

impl ToSql<BigInt, Sqlite> for Micros {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0);
        Ok(IsNull::No)
    }
}

/// A column's value, or what is wrong with it.
#[derive(Debug)]
pub(super) struct Cell<T>(Result<T, &'static str>);

impl<T> Cell<T> {
    /// The value, for a row whose key is no UUID and that no [`Reader`] can name.
    pub(super) fn get(self) -> Result<T, &'static str> {
        self.0
    }

    /// The value, where it is one.
    pub(super) fn peek(&self) -> Option<&T> {
        self.0.as_ref().ok()
    }

    fn read<ST>(value: SqliteValue<'_, '_, '_>, kind: SqliteType, wrong: &'static str) -> Self
    where
        T: FromSql<ST, Sqlite>,
    {
        if value.value_type() == Some(kind) {
            Self(T::from_sql(value).map_err(|_| wrong))
        } else {
            Self(Err(wrong))
        }
    }
}

/// Reads a column of this SQL type as a cell; NULL is as wrong as any other value of another type.
macro_rules! cell {
    ($sql_type:ty, $rust_type:ty, $kind:ident, $wrong:literal) => {
        impl FromSql<$sql_type, Sqlite> for Cell<$rust_type> {
            fn from_sql(value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
                Ok(Self::read::<$sql_type>(value, SqliteType::$kind, $wrong))
            }

            fn from_nullable_sql(value: Option<SqliteValue<'_, '_, '_>>) -> deserialize::Result<Self> {
                value.map_or(Ok(Self(Err("NULL where a value belongs"))), Self::from_sql)
            }
        }

        impl Queryable<$sql_type, Sqlite> for Cell<$rust_type> {
            type Row = Self;

            fn build(cell: Self) -> deserialize::Result<Self> {
                Ok(cell)
            }
        }
    };
}

cell!(Binary, Vec<u8>, Binary, "not bytes");
cell!(BigInt, i64, Long, "not an integer");
cell!(Text, String, Text, "not text in UTF-8");

/// Takes the values of one row out of their cells, naming the row where that fails.
pub(super) struct Reader(Row);

impl Reader {
    /// A reader of the row with this key.
    pub(super) fn new(
        table: &'static str,
        column: &'static str,
        key: Cell<Vec<u8>>,
    ) -> Result<Self, RepositoryError> {
        match key.0.and_then(|key| uuid(&key)) {
            Ok(key) => Ok(Self(Row { table, key })),
            Err(reason) => Err(RepositoryError::Inconsistent {
                table,
                column,
                row: "with a damaged key".to_owned(),
                reason: reason.to_owned(),
            }),
        }
    }

    pub(super) fn key(&self) -> Uuid {
        self.0.key
    }

    fn take<T, U>(
        &self,
        column: &'static str,
        cell: Cell<T>,
        convert: impl FnOnce(T) -> Result<U, &'static str>,
    ) -> Result<U, RepositoryError> {
        cell.0.and_then(convert).map_err(|reason| self.0.inconsistent(column, reason))
    }

    pub(super) fn uuid(&self, column: &'static str, cell: Cell<Vec<u8>>) -> Result<Uuid, RepositoryError> {
        self.take(column, cell, |bytes| uuid(&bytes))
    }

    pub(super) fn bytes(
        &self,
        column: &'static str,
        cell: Cell<Vec<u8>>,
    ) -> Result<Vec<u8>, RepositoryError> {
        self.take(column, cell, Ok)
    }

    pub(super) fn time(
        &self,
        column: &'static str,
        cell: Cell<i64>,
    ) -> Result<DateTime<Utc>, RepositoryError> {
        self.take(column, cell, |micros| {
            DateTime::from_timestamp_micros(micros).ok_or("not a time that this program knows")
        })
    }

    fn integer(&self, column: &'static str, cell: Cell<i64>) -> Result<i64, RepositoryError> {
        self.take(column, cell, Ok)
    }

    pub(super) fn small_integer(
        &self,
        column: &'static str,
        cell: Cell<i64>,
    ) -> Result<i32, RepositoryError> {
        self.take(column, cell, |number| i32::try_from(number).map_err(|_| "too large a number"))
    }

    pub(super) fn count(&self, column: &'static str, cell: Cell<i64>) -> Result<u32, RepositoryError> {
        self.0.count(column, self.small_integer(column, cell)?)
    }

    pub(super) fn revision(&self, column: &'static str, cell: Cell<i64>) -> Result<u64, RepositoryError> {
        self.0.revision(column, self.integer(column, cell)?)
    }

    /// A text that stands for something, like a status.
    pub(super) fn parsed<T: FromStr>(
        &self,
        column: &'static str,
        cell: Cell<String>,
    ) -> Result<T, RepositoryError> {
        self.take(column, cell, |text| text.parse().map_err(|_| "not a word that belongs here"))
    }

    pub(super) fn text(&self, column: &'static str, cell: Cell<String>) -> Result<String, RepositoryError> {
        self.take(column, cell, Ok)
    }

    pub(super) fn optional_text(
        &self,
        column: &'static str,
        cell: Option<Cell<String>>,
    ) -> Result<Option<String>, RepositoryError> {
        cell.map(|cell| self.text(column, cell)).transpose()
    }

    pub(super) fn object(&self, column: &'static str, cell: Cell<String>) -> Result<String, RepositoryError> {
        self.take(column, cell, |json| match document(&json) {
            Some(document) if document.starts_with('{') => Ok(json),
            _ => Err("not a JSON object"),
        })
    }

    fn payload(
        &self,
        column: &'static str,
        plain: Option<Cell<String>>,
        sealed: Option<Cell<Vec<u8>>>,
    ) -> Result<Stored, RepositoryError> {
        let checked =
            |json: String| if document(&json).is_some() { Ok(json) } else { Err("not a JSON document") };
        Ok(Stored {
            plain: plain.map(|cell| self.take(column, cell, checked)).transpose()?.map(Payload::from_stored),
            sealed: sealed.map(|cell| self.bytes(column, cell)).transpose()?,
        })
    }
}

fn uuid(bytes: &[u8]) -> Result<Uuid, &'static str> {
    Uuid::from_slice(bytes).map_err(|_| "not the 16 bytes of an id")
}

/// The JSON document that `json` is: what PostgreSQL's jsonb checks, SQLite's text does not.
///
/// The fast look lets a lone surrogate pass. We never write surrogates as escapes, so that where one
/// seems to stand, the slow look is rare.
fn document(json: &str) -> Option<&str> {
    let document = serde_json::from_str::<&RawValue>(json).ok()?.get();
    let may_hold_surrogates = json.contains("\\ud") || json.contains("\\uD");
    (!may_hold_surrogates || serde_json::from_str::<serde_json::Value>(json).is_ok()).then_some(document)
}

/// A row of `conversations`.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = conversations, check_for_backend(Sqlite))]
pub(super) struct ConversationRow {
    conversation_id: Cell<Vec<u8>>,
    user_id: Cell<Vec<u8>>,
    agent_id: Cell<Vec<u8>>,
    model_id: Cell<String>,
    system_prompt: Option<Cell<String>>,
    created_at: Cell<i64>,
    updated_at: Cell<i64>,
    status: Cell<String>,
    metadata: Cell<String>,
    turn_count: Cell<i64>,
    state_revision: Cell<i64>,
    topic_summary: Option<Cell<String>>,
    external_id: Option<Cell<String>>,
}

impl TryFrom<ConversationRow> for ConversationRecord {
    type Error = RepositoryError;

    fn try_from(row: ConversationRow) -> Result<Self, RepositoryError> {
        let reader = Reader::new("conversations", "conversation_id", row.conversation_id)?;
        Ok(Self {
            conversation_id: reader.key(),
            user_id: reader.uuid("user_id", row.user_id)?,
            agent_id: reader.uuid("agent_id", row.agent_id)?,
            model_id: reader.text("model_id", row.model_id)?,
            system_prompt: reader.optional_text("system_prompt", row.system_prompt)?,
            created_at: reader.time("created_at", row.created_at)?,
            updated_at: reader.time("updated_at", row.updated_at)?,
            status: reader.text("status", row.status)?.parse(),
            metadata: Metadata::from_stored(reader.object("metadata", row.metadata)?),
            turn_count: reader.small_integer("turn_count", row.turn_count)?,
            state_revision: reader.integer("state_revision", row.state_revision)?,
            topic_summary: reader.optional_text("topic_summary", row.topic_summary)?,
            external_id: reader.optional_text("external_id", row.external_id)?,
        })
    }
}

/// A row of `conversation_turns`, without what is known before it is read.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = conversation_turns, check_for_backend(Sqlite))]
pub(super) struct TurnRow {
    turn_id: Cell<Vec<u8>>,
    conversation_id: Cell<Vec<u8>>,
    turn_number: Cell<i64>,
    input_messages: Option<Cell<String>>,
    input_messages_sealed: Option<Cell<Vec<u8>>>,
    output_message: Option<Cell<String>>,
    output_message_sealed: Option<Cell<Vec<u8>>>,
    started_at: Cell<i64>,
    completed_at: Cell<i64>,
    metadata: Cell<String>,
}

impl TryFrom<TurnRow> for TurnRecord {
    type Error = RepositoryError;

    fn try_from(row: TurnRow) -> Result<Self, RepositoryError> {
        let reader = Reader::new("conversation_turns", "turn_id", row.turn_id)?;
        Ok(Self {
            turn_id: reader.key(),
            conversation_id: reader.uuid("conversation_id", row.conversation_id)?,
            turn_number: reader.small_integer("turn_number", row.turn_number)?,
            input_messages: reader.payload(
                "input_messages",
                row.input_messages,
                row.input_messages_sealed,
            )?,
            output_message: reader.payload(
                "output_message",
                row.output_message,
                row.output_message_sealed,
            )?,
            started_at: reader.time("started_at", row.started_at)?,
            completed_at: reader.time("completed_at", row.completed_at)?,
            metadata: Metadata::from_stored(reader.object("metadata", row.metadata)?),
        })
    }
}

/// A row of `agent_states`.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = agent_states, check_for_backend(Sqlite))]
pub(super) struct AgentStateRow {
    agent_id: Cell<Vec<u8>>,
    conversation_id: Cell<Vec<u8>>,
    user_id: Cell<Vec<u8>>,
    agent_config: Option<Cell<String>>,
    agent_config_sealed: Option<Cell<Vec<u8>>>,
    current_state: Option<Cell<String>>,
    current_state_sealed: Option<Cell<Vec<u8>>>,
    created_at: Cell<i64>,
    updated_at: Cell<i64>,
    revision: Cell<i64>,
    through_turn: Cell<i64>,
}

impl TryFrom<AgentStateRow> for AgentStateRecord {
    type Error = RepositoryError;

    fn try_from(row: AgentStateRow) -> Result<Self, RepositoryError> {
        let reader = Reader::new("agent_states", "agent_id", row.agent_id)?;
        Ok(Self {
            agent_id: reader.key(),
            conversation_id: reader.uuid("conversation_id", row.conversation_id)?,
            user_id: reader.uuid("user_id", row.user_id)?,
            agent_config: reader.payload("agent_config", row.agent_config, row.agent_config_sealed)?,
            current_state: reader.payload("current_state", row.current_state, row.current_state_sealed)?,
            created_at: reader.time("created_at", row.created_at)?,
            updated_at: reader.time("updated_at", row.updated_at)?,
            revision: reader.integer("revision", row.revision)?,
            through_turn: reader.small_integer("through_turn", row.through_turn)?,
        })
    }
}
