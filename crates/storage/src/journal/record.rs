//! The record of a journaled operation: JSON that says which version it is, and is read back strictly.
//!
//! ```json
//! {"format":1,"operation":{"update":{"conversation_id":"018f...","status":"archived"}}}
//! ```
//!
//! Nothing is lost on the way: payloads stand in it as they are (U+0000 escaped), times in microseconds since
//! 1970, metadata with the system's marks. Reading never panics, whatever the bytes are, and takes nothing
//! that was not written here: no unknown field, no text that its column would refuse, no later format.

use chrono::{DateTime, Utc};
use lcs_domain::conversation::OpenStatus;
use lcs_domain::journal::{JournalOperation, UpdateBase};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AgentId, AgentStateUpdate, AppendTurn, ConversationId, ConversationUpdate, Metadata, NewConversation,
    NewTurn, Payload, PayloadLimits, RepositoryError, SaveAgentState, Text, TurnId,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

const FORMAT: u32 = 1;

/// What is said of bytes that are not what [`encode`] writes.
const DAMAGED: &str = "not a record of an operation";

/// The bytes that `operation` is kept as.
///
/// # Errors
/// `Invalid` where a payload of it is no JSON; `Backend` for an operation that this format does not know.
pub fn encode(operation: &JournalOperation) -> RepositoryResult<Vec<u8>> {
    let record = Record { format: FORMAT, operation: Operation::of(operation)? };
    serde_json::to_vec(&record).map_err(|error| RepositoryError::Backend {
        reason: "an operation could not be written as a journal record".to_owned(),
        source: Some(error.into()),
    })
}

/// The operation that `bytes`, the record of entry `sequence`, were made from.
///
/// # Errors
/// `Inconsistent` for bytes that [`encode`] did not write, and for those of a later format.
pub fn decode(sequence: u64, bytes: &[u8]) -> RepositoryResult<JournalOperation> {
    read(bytes).map_err(|reason| inconsistent(sequence, reason))
}

/// What is said of entry `sequence` where its record cannot be read.
pub(crate) fn inconsistent(sequence: u64, reason: &str) -> RepositoryError {
    RepositoryError::Inconsistent {
        table: "journal_entries",
        column: "operation",
        row: sequence.to_string(),
        reason: reason.to_owned(),
    }
}

fn read(bytes: &[u8]) -> Result<JournalOperation, &'static str> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    match serde_json::from_slice::<Record>(bytes) {
        Ok(Record { format: FORMAT, operation }) => operation.into_domain().map_err(|Unreadable| DAMAGED),
        // serde's words may quote the text: they are not passed on.
        _ => match serde_json::from_slice(bytes) {
            Ok(Version { format }) if format != FORMAT => {
                Err("of a format that this program does not know: run the newest program that wrote it")
            }
            _ => Err(DAMAGED),
        },
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    operation: Operation,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Operation {
    Create(Create),
    Update(Update),
    Append(Append),
    Save(Save),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    conversation_id: ConversationId,
    agent_id: AgentId,
    model_id: String,
    system_prompt: Option<String>,
    metadata: Box<RawValue>,
    topic_summary: Option<String>,
    external_id: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    conversation_id: ConversationId,
    /// Not there: it stays. `null`: it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[expect(clippy::option_option, reason = "as in the command: not there, removed, or a text")]
    topic_summary: Option<Option<String>>,
    status: Option<Status>,
    metadata: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<Fields>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tried_on: Option<i64>,
}

/// What fields of a conversation were, or are to be.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    /// As in [`Update`].
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[expect(clippy::option_option, reason = "as in the command: not there, removed, or a text")]
    topic_summary: Option<Option<String>>,
    status: Option<Status>,
    metadata: Option<Box<RawValue>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    Active,
    Archived,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Append {
    conversation_id: ConversationId,
    turn_id: TurnId,
    input_messages: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some")]
    output_message: Option<Box<RawValue>>,
    started_at: i64,
    completed_at: i64,
    metadata: Box<RawValue>,
    expected_turn_count: Option<u32>,
    agent_state: Option<AgentState>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentState {
    agent_id: AgentId,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some")]
    agent_config: Option<Box<RawValue>>,
    current_state: Box<RawValue>,
    expected_revision: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Save {
    conversation_id: ConversationId,
    agent_id: AgentId,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some")]
    agent_config: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some")]
    current_state: Option<Box<RawValue>>,
    expected_revision: u64,
    through_turn: u32,
}

/// A document that is there: also where it is `null`, which is not the same as none.
fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::deserialize(deserializer).map(Some)
}

/// A text that is there, or `null` in its place.
#[expect(clippy::option_option, reason = "as in the command: not there, removed, or a text")]
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A value is not what its field may hold.
struct Unreadable;

impl From<RepositoryError> for Unreadable {
    /// What was wrong with it may name its content, and is left out.
    fn from(_: RepositoryError) -> Self {
        Self
    }
}

impl Operation {
    fn of(operation: &JournalOperation) -> RepositoryResult<Self> {
        Ok(match operation {
            JournalOperation::Create(new) => Self::Create(Create {
                conversation_id: new.conversation_id,
                agent_id: new.agent_id,
                model_id: new.model_id.to_string(),
                system_prompt: new.system_prompt.as_ref().map(Text::to_string),
                metadata: raw(new.metadata.as_json())?,
                topic_summary: new.topic_summary.as_ref().map(Text::to_string),
                external_id: new.external_id.as_ref().map(Text::to_string),
            }),
            JournalOperation::Update { conversation_id, update, base } => {
                let Fields { topic_summary, status, metadata } = Fields::of(update)?;
                Self::Update(Update {
                    conversation_id: *conversation_id,
                    topic_summary,
                    status,
                    metadata,
                    seen: base.seen.as_ref().map(Fields::of).transpose()?,
                    tried_on: base.tried_on.map(|time| time.timestamp_micros()),
                })
            }
            JournalOperation::Append(append) => Self::Append(Append {
                conversation_id: append.conversation_id,
                turn_id: append.turn.turn_id(),
                input_messages: of_payload(append.turn.input_messages())?,
                output_message: append.turn.output_message().map(of_payload).transpose()?,
                started_at: append.turn.started_at().timestamp_micros(),
                completed_at: append.turn.completed_at().timestamp_micros(),
                metadata: raw(append.turn.metadata().as_json())?,
                expected_turn_count: append.expected_turn_count,
                agent_state: append.agent_state.as_ref().map(AgentState::of).transpose()?,
            }),
            JournalOperation::Save(save) => Self::Save(Save {
                conversation_id: save.conversation_id,
                agent_id: save.agent_id,
                agent_config: save.agent_config.as_ref().map(of_payload).transpose()?,
                current_state: save.current_state.as_ref().map(of_payload).transpose()?,
                expected_revision: save.expected_revision,
                through_turn: save.through_turn,
            }),
            _ => {
                return Err(RepositoryError::Backend {
                    reason: format!("the journal has no record for the operation {}", operation.kind()),
                    source: None,
                });
            }
        })
    }

    fn into_domain(self) -> Result<JournalOperation, Unreadable> {
        Ok(match self {
            Self::Create(create) => {
                let new = NewConversation {
                    conversation_id: create.conversation_id,
                    agent_id: create.agent_id,
                    model_id: Text::from_stored(create.model_id),
                    system_prompt: create.system_prompt.map(Text::from_stored),
                    metadata: metadata(&create.metadata)?,
                    topic_summary: create.topic_summary.map(Text::from_stored),
                    external_id: create.external_id.map(Text::from_stored),
                };
                new.validate()?;
                JournalOperation::Create(new)
            }
            Self::Update(changed) => {
                let Update { conversation_id, topic_summary, status, metadata, seen, tried_on } = changed;
                let update = Fields { topic_summary, status, metadata }.into_domain()?;
                let seen = seen.map(Fields::into_domain).transpose()?;
                let base = UpdateBase { seen, tried_on: tried_on.map(time).transpose()? };
                JournalOperation::Update { conversation_id, update, base }
            }
            Self::Append(append) => {
                let turn = NewTurn::new(
                    append.turn_id,
                    payload(&append.input_messages)?,
                    optional(append.output_message, payload)?,
                    time(append.started_at)?,
                    time(append.completed_at)?,
                    metadata(&append.metadata)?,
                );
                JournalOperation::Append(AppendTurn {
                    conversation_id: append.conversation_id,
                    turn: turn?,
                    expected_turn_count: append.expected_turn_count,
                    agent_state: append.agent_state.map(AgentState::into_domain).transpose()?,
                })
            }
            Self::Save(save) => JournalOperation::Save(SaveAgentState {
                agent_id: save.agent_id,
                conversation_id: save.conversation_id,
                agent_config: optional(save.agent_config, payload)?,
                current_state: optional(save.current_state, payload)?,
                expected_revision: save.expected_revision,
                through_turn: save.through_turn,
            }),
        })
    }
}

impl Fields {
    fn of(update: &ConversationUpdate) -> RepositoryResult<Self> {
        Ok(Self {
            topic_summary: update.topic_summary.as_ref().map(|text| text.as_ref().map(Text::to_string)),
            status: update.status.map(|status| match status {
                OpenStatus::Active => Status::Active,
                OpenStatus::Archived => Status::Archived,
            }),
            metadata: update.metadata.as_ref().map(|metadata| raw(metadata.as_json())).transpose()?,
        })
    }

    fn into_domain(self) -> Result<ConversationUpdate, Unreadable> {
        let update = ConversationUpdate {
            topic_summary: self.topic_summary.map(|text| text.map(Text::from_stored)),
            status: self.status.map(|status| match status {
                Status::Active => OpenStatus::Active,
                Status::Archived => OpenStatus::Archived,
            }),
            metadata: optional(self.metadata, metadata)?,
            expected_updated_at: None,
        };
        update.validate()?;
        Ok(update)
    }
}

impl AgentState {
    fn of(update: &AgentStateUpdate) -> RepositoryResult<Self> {
        Ok(Self {
            agent_id: update.agent_id,
            agent_config: update.agent_config.as_ref().map(of_payload).transpose()?,
            current_state: of_payload(&update.current_state)?,
            expected_revision: update.expected_revision,
        })
    }

    fn into_domain(self) -> Result<AgentStateUpdate, Unreadable> {
        Ok(AgentStateUpdate {
            agent_id: self.agent_id,
            agent_config: optional(self.agent_config, payload)?,
            current_state: payload(&self.current_state)?,
            expected_revision: self.expected_revision,
        })
    }
}

fn raw(json: &str) -> RepositoryResult<Box<RawValue>> {
    RawValue::from_string(json.to_owned())
        .map_err(|_| RepositoryError::invalid("", "not a JSON document: it cannot be journaled"))
}

fn of_payload(payload: &Payload) -> RepositoryResult<Box<RawValue>> {
    raw(payload.as_json())
}

fn payload(raw: &RawValue) -> Result<Payload, Unreadable> {
    Ok(Payload::parse_within(raw.get(), PayloadLimits { max_bytes: usize::MAX })?)
}

/// Metadata with the marks that a caller may not write, and otherwise under a caller's rules.
fn metadata(raw: &RawValue) -> Result<Metadata, Unreadable> {
    let payload = payload(raw)?;
    if payload.needs_sealing()? {
        return Err(Unreadable);
    }
    let metadata = Metadata::from_stored(payload.as_json().to_owned());
    metadata.to_object()?;
    Ok(metadata)
}

fn optional<T>(
    raw: Option<Box<RawValue>>,
    read: impl Fn(&RawValue) -> Result<T, Unreadable>,
) -> Result<Option<T>, Unreadable> {
    raw.map(|raw| read(&raw)).transpose()
}

fn time(micros: i64) -> Result<DateTime<Utc>, Unreadable> {
    DateTime::from_timestamp_micros(micros).ok_or(Unreadable)
}

#[cfg(test)]
mod tests;
