//! Conversations as lines of JSON, one object each: the format of export files, documented in `docs/EXPORT.md`.
//!
//! ```json
//! {"type":"header","format":"lcs-persistence","version":1,...}
//! {"type":"conversation","conversation_id":"018f...","turn_count":1,...}
//! {"type":"agent_state","agent_id":"018f...","revision":1,...}
//! {"type":"turn","turn_id":"018f...","turn_number":1,...}
//! {"type":"trailer","conversations":1,"agent_states":1,"turns":1}
//! ```
//!
//! What is not there is left out, so that it is told from a JSON `null` that was stored. Payloads stand in their
//! canonical form: equal conversations are equal lines, whichever store they come from. Reading takes nothing that
//! it does not know, and its refusals quote nothing of a line.

mod line;
mod object;

use chrono::{DateTime, Utc};
use serde_json::error::Category;

use self::line::{AgentStateLine, ConversationLine, HeaderLine, Kind, TrailerLine, TurnLine};
use self::object::Object;
use super::{ExportFilter, Exported};
use crate::{
    AgentId, AgentState, Conversation, ConversationId, Durability, NewTurn, Payload, PayloadLimits,
    RepositoryError, Turn, UserId,
};

/// The name of this format, in each header.
pub const FORMAT: &str = "lcs-persistence";
/// The version of this format that is written; later ones are not read.
pub const VERSION: u32 = 1;

/// The first line of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// When the export began.
    pub exported_at: DateTime<Utc>,
    /// What was to be exported.
    pub filter: ExportFilter,
}

/// The last line of a file: how much stands before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Trailer {
    /// Conversations.
    pub conversations: u64,
    /// Agent states.
    pub agent_states: u64,
    /// Turns.
    pub turns: u64,
}

impl Trailer {
    /// Counts what is exported.
    pub const fn count(&mut self, exported: &Exported) {
        match exported {
            Exported::Conversation(_) => self.conversations += 1,
            Exported::AgentState(_) => self.agent_states += 1,
            Exported::Turn(_) => self.turns += 1,
        }
    }
}

/// A line that was read.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// The first one.
    Header(Header),
    /// A conversation begins.
    Conversation(Box<Conversation>),
    /// The state of its agent. Whose it is, its conversation says.
    AgentState(Box<StateRecord>),
    /// Its next turn.
    Turn(Box<NumberedTurn>),
    /// The last one.
    Trailer(Trailer),
}

/// A turn with where it belongs.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberedTurn {
    /// The conversation that it belongs to.
    pub conversation_id: ConversationId,
    /// Its place.
    pub turn_number: u32,
    /// The turn.
    pub turn: NewTurn,
}

/// An agent's state; whose it is, its conversation says.
#[derive(Debug, Clone, PartialEq)]
pub struct StateRecord {
    /// The agent.
    pub agent_id: AgentId,
    /// The conversation that it speaks in.
    pub conversation_id: ConversationId,
    /// What the agent was configured with.
    pub agent_config: Payload,
    /// What the agent remembers.
    pub current_state: Option<Payload>,
    /// When it was first stored.
    pub created_at: DateTime<Utc>,
    /// When it was last stored.
    pub updated_at: DateTime<Utc>,
    /// Its revision.
    pub revision: u64,
    /// How many turns it has seen.
    pub through_turn: u32,
}

impl StateRecord {
    /// The state in a conversation of this user.
    #[must_use]
    pub fn of_user(self, user_id: UserId) -> AgentState {
        AgentState {
            agent_id: self.agent_id,
            conversation_id: self.conversation_id,
            user_id,
            agent_config: self.agent_config,
            current_state: self.current_state,
            created_at: self.created_at,
            updated_at: self.updated_at,
            revision: self.revision,
            through_turn: self.through_turn,
            durability: Durability::Durable,
        }
    }
}

impl Header {
    /// The header as a line, without the line's end.
    pub fn to_line(&self) -> Result<String, RepositoryError> {
        let filter = Object::new()
            .put_some("user_id", self.filter.user_id.as_ref())?
            .put_some("changed_from", self.filter.changed_from.as_ref())?
            .put_some("changed_before", self.filter.changed_before.as_ref())?
            .put("statuses", &self.filter.statuses)?
            .end();
        Ok(Object::of_type("header")
            .put("format", FORMAT)?
            .put("version", &VERSION)?
            .put("exported_at", &self.exported_at)?
            .raw("filter", &filter)
            .end())
    }
}

impl Trailer {
    /// The trailer as a line.
    pub fn to_line(&self) -> Result<String, RepositoryError> {
        Ok(Object::of_type("trailer")
            .put("conversations", &self.conversations)?
            .put("agent_states", &self.agent_states)?
            .put("turns", &self.turns)?
            .end())
    }
}

impl Exported {
    /// It as a line.
    ///
    /// # Errors
    /// `Invalid` where a stored payload is no JSON.
    pub fn to_line(&self) -> Result<String, RepositoryError> {
        match self {
            Self::Conversation(conversation) => of_conversation(conversation),
            Self::AgentState(state) => of_agent_state(state),
            Self::Turn(turn) => of_turn(turn),
        }
    }
}

fn of_conversation(conversation: &Conversation) -> Result<String, RepositoryError> {
    Ok(Object::of_type("conversation")
        .put("conversation_id", &conversation.conversation_id)?
        .put("user_id", &conversation.user_id)?
        .put("agent_id", &conversation.agent_id)?
        .put("model_id", &conversation.model_id)?
        .put_some("system_prompt", conversation.system_prompt.as_ref())?
        .put("created_at", &conversation.created_at)?
        .put("updated_at", &conversation.updated_at)?
        .put("status", &conversation.status)?
        .raw("metadata", &conversation.metadata.as_payload().canonical_json()?)
        .put("turn_count", &conversation.turn_count)?
        .put("state_revision", &conversation.state_revision)?
        .put_some("topic_summary", conversation.topic_summary.as_ref())?
        .put_some("external_id", conversation.external_id.as_ref())?
        .end())
}

fn of_agent_state(state: &AgentState) -> Result<String, RepositoryError> {
    Ok(Object::of_type("agent_state")
        .put("agent_id", &state.agent_id)?
        .put("conversation_id", &state.conversation_id)?
        .raw("agent_config", &state.agent_config.canonical_json()?)
        .payload("current_state", state.current_state.as_ref())?
        .put("created_at", &state.created_at)?
        .put("updated_at", &state.updated_at)?
        .put("revision", &state.revision)?
        .put("through_turn", &state.through_turn)?
        .end())
}

fn of_turn(turn: &Turn) -> Result<String, RepositoryError> {
    Ok(Object::of_type("turn")
        .put("turn_id", &turn.turn_id)?
        .put("conversation_id", &turn.conversation_id)?
        .put("turn_number", &turn.turn_number)?
        .raw("input_messages", &turn.input_messages.canonical_json()?)
        .payload("output_message", turn.output_message.as_ref())?
        .put("started_at", &turn.started_at)?
        .put("completed_at", &turn.completed_at)?
        .raw("metadata", &turn.metadata.as_payload().canonical_json()?)
        .end())
}

impl Record {
    /// The record that `line` holds; payloads have to be within `limits`.
    ///
    /// # Errors
    /// `Invalid` and `TooLarge`, with what is wrong and where; nothing of the line is quoted.
    pub fn parse(line: &str, limits: PayloadLimits) -> Result<Self, RepositoryError> {
        let Kind { kind } = read(line, "a record")?;
        match &*kind {
            "turn" => {
                let turn = read::<TurnLine<'_>>(line, "a turn")?.into_domain(limits)?;
                Ok(Self::Turn(Box::new(turn)))
            }
            "conversation" => {
                let conversation = read::<ConversationLine<'_>>(line, "a conversation")?.into_domain()?;
                Ok(Self::Conversation(Box::new(conversation)))
            }
            "agent_state" => {
                let state = read::<AgentStateLine<'_>>(line, "an agent's state")?.into_domain(limits)?;
                Ok(Self::AgentState(Box::new(state)))
            }
            "header" => read::<HeaderLine>(line, "a header")?.into_domain().map(Self::Header),
            "trailer" => {
                read::<TrailerLine>(line, "a trailer").map(|trailer| Self::Trailer(trailer.into_domain()))
            }
            _ => Err(RepositoryError::invalid("/type", "no record of this type is known")),
        }
    }
}

/// Reads `line` as what is called `what`.
fn read<'a, T: serde::Deserialize<'a>>(line: &'a str, what: &str) -> Result<T, RepositoryError> {
    serde_json::from_str(line).map_err(|error| {
        // The column, not serde_json's words: those may quote the text.
        let column = error.column();
        let reason = match error.classify() {
            Category::Data => format!(
                "not {what}: up to column {column}, a field is missing, unknown, written twice or of another kind"
            ),
            _ => format!("not well-formed JSON at column {column}"),
        };
        RepositoryError::invalid("", reason)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TURN: &str = r#"{"type":"turn","turn_id":"018f3a5c-7d1e-7b3a-9c55-0242ac120002","conversation_id":"018f3a5c-7d1e-7b3a-9c55-0242ac120003","turn_number":1,"input_messages":[1],"output_message":null,"started_at":"2026-01-31T12:00:00Z","completed_at":"2026-01-31T12:00:00.000001Z","metadata":{"lcs:late":true}}"#;

    fn parse(line: &str) -> Result<Record, RepositoryError> {
        Record::parse(line, PayloadLimits::default())
    }

    #[test]
    fn a_null_that_is_there_is_told_from_nothing() {
        let Record::Turn(turn) = parse(TURN).unwrap() else { panic!("a turn") };
        assert_eq!(turn.turn.output_message().unwrap().as_json(), "null");
        let Record::Turn(turn) = parse(&TURN.replace(r#""output_message":null,"#, "")).unwrap() else {
            panic!("a turn")
        };
        assert_eq!(turn.turn.output_message(), None);
    }

    #[test]
    fn a_header_with_an_unknown_field_is_refused() {
        let header = r#"{"type":"header","format":"lcs-persistence","version":1,"exported_at":"2026-01-31T12:00:00Z","filter":{"statuses":["active"]}}"#;
        assert!(matches!(parse(header), Ok(Record::Header(_))));
        for (from, to) in
            [("\"version\"", "\"more\":1,\"version\""), ("\"statuses\"", "\"more\":1,\"statuses\"")]
        {
            assert!(parse(&header.replace(from, to)).is_err(), "{to}");
        }
    }

    #[test]
    fn a_refusal_says_where_and_quotes_nothing() {
        for (from, to, said) in [
            ("[1]", "[\"canary\"", "not well-formed JSON at column"),
            (
                "[1]",
                "{\"canary\":1e400}",
                "invalid value at /input_messages: the number cannot be kept exactly",
            ),
            ("\"turn_number\":1", "\"turn_number\":\"canary\"", "not a turn: up to column"),
            ("\"turn_number\":1", "\"canary\":1", "not a turn: up to column"),
            ("2026-01-31T12:00:00Z", "canary", "not a turn: up to column"),
            ("\"type\":\"turn\"", "\"type\":\"canary\"", "invalid value at /type"),
            (
                "{\"lcs:late\":true}",
                "[\"canary\"]",
                "invalid value at /metadata: metadata must be a JSON object",
            ),
        ] {
            let error = parse(&TURN.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("canary"), "{to}: {error}");
        }
    }

    #[test]
    fn a_later_version_is_not_read() {
        let filter = ExportFilter::default();
        let header = Header { exported_at: DateTime::UNIX_EPOCH, filter };
        let line = header.to_line().unwrap();
        assert_eq!(parse(&line).unwrap(), Record::Header(header));
        let error = parse(&line.replace("\"version\":1", "\"version\":2")).unwrap_err().to_string();
        assert!(error.contains("reads version 1"), "{error}");
        assert!(parse(&line.replace("lcs-persistence", "another")).is_err());
    }

    proptest! {
        #[test]
        fn hostile_lines_never_panic(text in "[\\[\\]{}\",:0-9eE+.tfn\\\\u -]{0,64}", cut in 0..TURN.len()) {
            let _ = parse(&text);
            let _ = parse(&format!("{}{text}", TURN.get(..cut).unwrap_or_default()));
        }
    }
}
