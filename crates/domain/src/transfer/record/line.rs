//! The lines as they are read: strictly, and payloads as the text that they are.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::{ExportFilter, FORMAT, Header, NumberedTurn, StateRecord, Trailer, VERSION};
use crate::clock::storable;
use crate::{
    AgentId, Conversation, ConversationId, ConversationStatus, Durability, Metadata, NewTurn, Payload,
    PayloadLimits, RepositoryError, Text, TurnId, UserId,
};

/// Of what type a line is.
#[derive(Deserialize)]
pub(super) struct Kind<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeaderLine {
    #[serde(rename = "type")]
    _kind: String,
    format: String,
    version: u32,
    exported_at: DateTime<Utc>,
    filter: FilterLine,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilterLine {
    user_id: Option<UserId>,
    changed_from: Option<DateTime<Utc>>,
    changed_before: Option<DateTime<Utc>>,
    statuses: Vec<String>,
}

impl HeaderLine {
    pub(super) fn into_domain(self) -> Result<Header, RepositoryError> {
        if self.format != FORMAT {
            return Err(RepositoryError::invalid("/format", format!("not {FORMAT}")));
        }
        if self.version != VERSION {
            let reason = format!("this program reads version {VERSION}: use the program that wrote the file");
            return Err(RepositoryError::invalid("/version", reason));
        }
        let statuses = self.filter.statuses.iter().map(|text| status(text, "/filter/statuses"));
        Ok(Header {
            exported_at: storable(self.exported_at, "/exported_at")?,
            filter: ExportFilter {
                user_id: self.filter.user_id,
                changed_from: self.filter.changed_from,
                changed_before: self.filter.changed_before,
                statuses: statuses.collect::<Result<_, _>>()?,
                conversation_ids: None,
            },
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TrailerLine {
    #[serde(rename = "type")]
    _kind: String,
    conversations: u64,
    agent_states: u64,
    turns: u64,
}

impl TrailerLine {
    pub(super) fn into_domain(self) -> Trailer {
        Trailer { conversations: self.conversations, agent_states: self.agent_states, turns: self.turns }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConversationLine<'a> {
    #[serde(rename = "type")]
    _kind: String,
    conversation_id: ConversationId,
    user_id: UserId,
    agent_id: AgentId,
    model_id: String,
    #[serde(default)]
    system_prompt: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    status: String,
    #[serde(borrow)]
    metadata: &'a RawValue,
    turn_count: u32,
    state_revision: u64,
    #[serde(default)]
    topic_summary: Option<String>,
    #[serde(default)]
    external_id: Option<String>,
}

impl ConversationLine<'_> {
    pub(super) fn into_domain(self) -> Result<Conversation, RepositoryError> {
        let prompt = self.system_prompt.map(|text| Text::prompt(text, "/system_prompt"));
        let summary = self.topic_summary.map(|text| Text::summary(text, "/topic_summary"));
        let external_id = self.external_id.map(|text| Text::name(text, "/external_id"));
        Ok(Conversation {
            conversation_id: self.conversation_id,
            user_id: self.user_id,
            agent_id: self.agent_id,
            model_id: Text::name(self.model_id, "/model_id")?,
            system_prompt: prompt.transpose()?,
            created_at: storable(self.created_at, "/created_at")?,
            updated_at: storable(self.updated_at, "/updated_at")?,
            status: status(&self.status, "/status")?,
            metadata: metadata(self.metadata)?,
            turn_count: self.turn_count,
            state_revision: self.state_revision,
            topic_summary: summary.transpose()?,
            external_id: external_id.transpose()?,
            durability: Durability::Durable,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AgentStateLine<'a> {
    #[serde(rename = "type")]
    _kind: String,
    agent_id: AgentId,
    conversation_id: ConversationId,
    #[serde(borrow)]
    agent_config: &'a RawValue,
    #[serde(borrow, default, deserialize_with = "there")]
    current_state: Option<&'a RawValue>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    revision: u64,
    through_turn: u32,
}

impl AgentStateLine<'_> {
    pub(super) fn into_domain(self, limits: PayloadLimits) -> Result<StateRecord, RepositoryError> {
        Ok(StateRecord {
            agent_id: self.agent_id,
            conversation_id: self.conversation_id,
            agent_config: payload(self.agent_config, "/agent_config", limits)?,
            current_state: optional(self.current_state, "/current_state", limits)?,
            created_at: storable(self.created_at, "/created_at")?,
            updated_at: storable(self.updated_at, "/updated_at")?,
            revision: self.revision,
            through_turn: self.through_turn,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TurnLine<'a> {
    #[serde(rename = "type")]
    _kind: String,
    turn_id: TurnId,
    conversation_id: ConversationId,
    turn_number: u32,
    #[serde(borrow)]
    input_messages: &'a RawValue,
    #[serde(borrow, default, deserialize_with = "there")]
    output_message: Option<&'a RawValue>,
    started_at: DateTime<Utc>,
    completed_at: DateTime<Utc>,
    #[serde(borrow)]
    metadata: &'a RawValue,
}

impl TurnLine<'_> {
    pub(super) fn into_domain(self, limits: PayloadLimits) -> Result<NumberedTurn, RepositoryError> {
        let turn = NewTurn::new(
            self.turn_id,
            payload(self.input_messages, "/input_messages", limits)?,
            optional(self.output_message, "/output_message", limits)?,
            self.started_at,
            self.completed_at,
            metadata(self.metadata)?,
        )?;
        let (conversation_id, turn_number) = (self.conversation_id, self.turn_number);
        Ok(NumberedTurn { conversation_id, turn_number, turn })
    }
}

/// A document that is there, and may be `null`: what is not there is left out.
fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn payload(raw: &RawValue, pointer: &str, limits: PayloadLimits) -> Result<Payload, RepositoryError> {
    Payload::parse_within(raw.get(), limits).map_err(|error| within(error, pointer))
}

fn optional(
    raw: Option<&RawValue>,
    pointer: &str,
    limits: PayloadLimits,
) -> Result<Option<Payload>, RepositoryError> {
    raw.map(|raw| payload(raw, pointer, limits)).transpose()
}

fn metadata(raw: &RawValue) -> Result<Metadata, RepositoryError> {
    Metadata::parse_marked(raw.get()).map_err(|error| within(error, "/metadata"))
}

fn status(text: &str, pointer: &str) -> Result<ConversationStatus, RepositoryError> {
    text.parse().map_err(|error| RepositoryError::invalid(pointer, format!("{error}")))
}

/// `error`, which points into the document at `place`, as one that points into the record. Keys of a document are
/// what users said: the pointer ends where the document begins.
fn within(error: RepositoryError, place: &str) -> RepositoryError {
    match error {
        RepositoryError::Invalid { reason, .. } => RepositoryError::invalid(place, reason),
        RepositoryError::TooLarge { size_bytes, limit_bytes, .. } => {
            RepositoryError::TooLarge { pointer: place.to_owned(), size_bytes, limit_bytes }
        }
        error => error,
    }
}
