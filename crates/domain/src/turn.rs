//! A turn: what was said to the agent and what it answered, stored exactly once and for ever in its place.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::metadata::Mark;
use crate::{
    AgentStateUpdate, ConversationId, Durability, Metadata, Payload, RepositoryError, TurnId, clock,
};

/// A turn as a store holds it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Turn {
    /// Its id and idempotency key.
    pub turn_id: TurnId,
    /// The conversation that it belongs to.
    pub conversation_id: ConversationId,
    /// Its place: 1 for the first turn, without gaps (P2).
    pub turn_number: u32,
    /// What was said to the agent.
    pub input_messages: Payload,
    /// What the agent answered; `None` where it did not come to an answer.
    pub output_message: Option<Payload>,
    /// When the turn began, by the caller's clock. Order never depends on it.
    pub started_at: DateTime<Utc>,
    /// When the turn ended, by the caller's clock.
    pub completed_at: DateTime<Utc>,
    /// What the caller noted beside it, and the system's marks.
    pub metadata: Metadata,
}

impl Turn {
    /// Whether the turn was stored without its agent state, because that had moved on meanwhile.
    #[must_use]
    pub fn is_interleaved(&self) -> bool {
        self.metadata.has_mark(Mark::Interleaved)
    }

    /// Whether the answer was stopped before its end.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.metadata.has_mark(Mark::Interrupted)
    }

    /// Whether the turn was journaled during an outage, and stored behind turns that came meanwhile.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.metadata.has_mark(Mark::Late)
    }
}

/// A turn to be stored. Its number is given by the store, never by a clock or a caller (P2).
#[derive(Debug, Clone, PartialEq)]
pub struct NewTurn {
    turn_id: TurnId,
    input_messages: Payload,
    output_message: Option<Payload>,
    started_at: DateTime<Utc>,
    completed_at: DateTime<Utc>,
    metadata: Metadata,
    content_hash: ContentHash,
}

/// A SHA-256 over what makes a turn that turn: its canonical input and output, and the caller's metadata.
/// Not its times, not the system's marks, not the agent's state (P1).
pub type ContentHash = [u8; 32];

impl NewTurn {
    /// A turn of this content. Times are cut to microseconds; years outside 1 to 9999 are refused.
    pub fn new(
        turn_id: TurnId,
        input_messages: Payload,
        output_message: Option<Payload>,
        started_at: DateTime<Utc>,
        completed_at: DateTime<Utc>,
        metadata: Metadata,
    ) -> Result<Self, RepositoryError> {
        let content_hash = content_hash(&input_messages, output_message.as_ref(), &metadata)?;
        Ok(Self {
            turn_id,
            input_messages,
            output_message,
            started_at: clock::storable(started_at, "/started_at")?,
            completed_at: clock::storable(completed_at, "/completed_at")?,
            metadata,
            content_hash,
        })
    }

    /// The same turn with `mark` in its metadata: its content hash stays what it is.
    pub fn marked(&self, mark: Mark) -> Result<Self, RepositoryError> {
        Ok(Self { metadata: self.metadata.marked(mark)?, ..self.clone() })
    }

    /// Refuses `turns` of which two have one id.
    ///
    /// Every store calls it before it adopts them.
    pub fn refuse_repeated(turns: &[Self]) -> Result<(), RepositoryError> {
        let mut seen = HashSet::with_capacity(turns.len());
        let repeated = turns.iter().position(|turn| !seen.insert(turn.turn_id));
        repeated.map_or(Ok(()), |index| {
            let reason = "an earlier turn has this id: each turn has its own";
            Err(RepositoryError::invalid(format!("/turns/{index}/turn_id"), reason))
        })
    }

    /// Its id and idempotency key.
    #[must_use]
    pub const fn turn_id(&self) -> TurnId {
        self.turn_id
    }

    /// What was said to the agent.
    #[must_use]
    pub const fn input_messages(&self) -> &Payload {
        &self.input_messages
    }

    /// What the agent answered.
    #[must_use]
    pub const fn output_message(&self) -> Option<&Payload> {
        self.output_message.as_ref()
    }

    /// When the turn began.
    #[must_use]
    pub const fn started_at(&self) -> DateTime<Utc> {
        self.started_at
    }

    /// When the turn ended.
    #[must_use]
    pub const fn completed_at(&self) -> DateTime<Utc> {
        self.completed_at
    }

    /// What the caller noted beside it, and the system's marks.
    #[must_use]
    pub const fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// What tells this turn from another with the same id.
    #[must_use]
    pub const fn content_hash(&self) -> &ContentHash {
        &self.content_hash
    }
}

fn content_hash(
    input: &Payload,
    output: Option<&Payload>,
    metadata: &Metadata,
) -> Result<ContentHash, RepositoryError> {
    let mut hash = Sha256::new();
    // Each part is told from the next by its length, so that no two turns run together to the same bytes.
    let mut part = |text: Option<&str>| {
        let length = text.map_or(u64::MAX, |text| text.len() as u64);
        hash.update(length.to_be_bytes());
        hash.update(text.unwrap_or_default());
    };
    part(Some(&*input.canonical_json()?));
    part(output.map(Payload::canonical_json).transpose()?.as_deref());
    part(Some(&*metadata.caller_json()?));
    Ok(hash.finalize().into())
}

/// Appends a turn, and with it the agent's new state: whole or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct AppendTurn {
    /// The conversation to append to.
    pub conversation_id: ConversationId,
    /// The turn.
    pub turn: NewTurn,
    /// How many turns the conversation must have before this one; `None`: any number.
    pub expected_turn_count: Option<u32>,
    /// The agent's state after this turn; `None`: it stays as it is.
    pub agent_state: Option<AgentStateUpdate>,
}

/// What an append came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Appended {
    /// The turn's place. Final where `durability` is durable, provisional where it is not; `None` where
    /// a journal took the turn for a conversation whose head it cannot see.
    pub turn_number: Option<u32>,
    /// The last revision that the agent's state was given; 0 where it never had one.
    pub state_revision: u64,
    /// Whether this very turn had been stored before: nothing was written now.
    pub replayed: bool,
    /// How durable the turn is.
    pub durability: Durability,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(input: &str, output: Option<&str>, metadata: &str, at: i64) -> NewTurn {
        let at = DateTime::from_timestamp(at, 123_456_789).unwrap();
        let output = output.map(|json| Payload::parse(json).unwrap());
        let metadata = Metadata::parse(metadata).unwrap();
        NewTurn::new(TurnId::generate(), Payload::parse(input).unwrap(), output, at, at, metadata).unwrap()
    }

    #[test]
    fn p1_the_content_hash_covers_values_not_spelling_and_not_times() {
        let one = turn(r#"{"a":1,"b":2}"#, Some("1"), "{}", 0);
        let other = turn(r#"{ "b": 2.0, "a": 1e0 }"#, Some("1.0"), "{ }", 99);
        assert_eq!(one.content_hash(), other.content_hash());
    }

    #[test]
    fn p1_the_content_hash_tells_contents_apart() {
        let hashes = [
            turn("1", None, "{}", 0),
            turn("1", Some("null"), "{}", 0),
            turn("2", None, "{}", 0),
            turn("1", None, r#"{"a":1}"#, 0),
            turn("\"1\"", None, "{}", 0),
        ]
        .map(|turn| *turn.content_hash());
        for (i, hash) in hashes.iter().enumerate() {
            assert!(!hashes[i + 1..].contains(hash), "{i}");
        }
    }

    #[test]
    fn a_mark_does_not_change_what_the_turn_is() {
        let plain = turn("1", None, r#"{"a":1}"#, 0);
        let marked = plain.marked(Mark::Interleaved).unwrap();
        assert_eq!(marked.content_hash(), plain.content_hash());
        assert!(marked.metadata().has_mark(Mark::Interleaved));
    }

    #[test]
    fn times_are_cut_to_microseconds() {
        assert_eq!(turn("1", None, "{}", 0).started_at().timestamp_subsec_nanos(), 123_456_000);
    }
}
