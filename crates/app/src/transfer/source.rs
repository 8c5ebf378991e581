//! What other systems have, as conversations of ours.
//!
//! Ids are made of theirs, the same each time: an import that is run again finds what it has stored.

pub mod langgraph;
pub mod lcs_cache;
pub mod llama_stack;
pub mod openai_agents;

use chrono::{DateTime, NaiveDateTime, Utc};
use lcs_domain::transfer::{IncomingConversation, IncomingHead};
use lcs_domain::{
    AgentId, Conversation, ConversationId, ConversationStatus, Durability, Metadata, NewTurn, PayloadLimits,
    RepositoryError, Text, UserId,
};
use tokio::sync::mpsc;

use super::arrival::{Arrival, Batch, Place};

/// How many turns a conversation of another system may have: it is held whole, to be counted.
const MAX_TURNS: usize = 100_000;
/// How many bytes it may have.
const MAX_BYTES: usize = 256 * 1024 * 1024;
/// What LCS writes where it does not know a model.
const UNKNOWN_MODEL: &str = "N/A";

/// Where what was read is put.
pub(super) struct Arrivals {
    sender: mpsc::Sender<Arrival>,
    batch: Batch,
    pub(super) limits: PayloadLimits,
}

/// Nobody takes what comes any more.
pub(super) struct Gone;

impl Arrivals {
    pub(super) fn new(sender: mpsc::Sender<Arrival>, limits: PayloadLimits) -> Self {
        Self { sender, batch: Batch::default(), limits }
    }

    pub(super) async fn reject(
        &mut self,
        place: Place,
        id: Option<ConversationId>,
        reason: impl Into<String>,
    ) -> Result<(), Gone> {
        self.send(Some(Arrival::Reject(place.reject(id, reason)))).await
    }

    pub(super) async fn push(
        &mut self,
        place: Place,
        incoming: IncomingConversation,
        bytes: usize,
    ) -> Result<(), Gone> {
        let full = self.batch.push(place, incoming, bytes);
        self.send(full).await
    }

    pub(super) async fn end(mut self) {
        let last = self.batch.take();
        // Whoever has gone needs no last word.
        let _ = self.send(last).await;
    }

    async fn send(&self, arrival: Option<Arrival>) -> Result<(), Gone> {
        match arrival {
            Some(arrival) => self.sender.send(arrival).await.map_err(|_| Gone),
            None => Ok(()),
        }
    }
}

/// A conversation of another system while its turns are read.
pub(super) struct Draft {
    /// Where it begins.
    pub(super) place: Place,
    pub(super) user_id: UserId,
    pub(super) conversation_id: ConversationId,
    pub(super) external_id: Option<Text>,
    pub(super) model: Option<String>,
    pub(super) topic_summary: Option<String>,
    pub(super) changed_at: Option<DateTime<Utc>>,
    pub(super) metadata: Metadata,
    turns: Vec<NewTurn>,
    bytes: usize,
}

impl Draft {
    pub(super) fn new(place: Place, user_id: UserId, conversation_id: ConversationId) -> Self {
        Self {
            place,
            user_id,
            conversation_id,
            external_id: None,
            model: None,
            topic_summary: None,
            changed_at: None,
            metadata: Metadata::default(),
            turns: Vec::new(),
            bytes: 0,
        }
    }

    /// Adds its next turn.
    pub(super) fn push(&mut self, turn: NewTurn) -> Result<(), String> {
        let output = turn.output_message().map_or(0, |output| output.as_json().len());
        self.bytes += turn.input_messages().as_json().len() + output;
        if self.turns.len() >= MAX_TURNS || self.bytes > MAX_BYTES {
            return Err(format!("it has more than {MAX_TURNS} turns or {MAX_BYTES} bytes"));
        }
        self.turns.push(turn);
        Ok(())
    }

    /// The conversation, and how many bytes it has.
    pub(super) fn finish(self) -> Result<(Place, IncomingConversation, usize), RepositoryError> {
        let began = self.turns.first().map_or(DateTime::UNIX_EPOCH, NewTurn::started_at);
        let ended = self.turns.last().map_or(began, NewTurn::completed_at);
        let model = self.model.filter(|model| !model.trim().is_empty());
        let topic = self.topic_summary.filter(|topic| !topic.is_empty());
        let conversation = Conversation {
            conversation_id: self.conversation_id,
            user_id: self.user_id,
            agent_id: AgentId::of_conversation(self.conversation_id),
            model_id: Text::name(model.unwrap_or_else(|| UNKNOWN_MODEL.to_owned()), "/model_id")?,
            system_prompt: None,
            created_at: began,
            updated_at: self.changed_at.unwrap_or(ended),
            status: ConversationStatus::Active,
            metadata: self.metadata,
            turn_count: u32::try_from(self.turns.len()).unwrap_or(u32::MAX),
            state_revision: 0,
            topic_summary: topic.map(|topic| Text::summary(topic, "/topic_summary")).transpose()?,
            external_id: self.external_id,
            durability: Durability::Durable,
        };
        let head = IncomingHead { conversation, agent_state: None };
        Ok((self.place, IncomingConversation { head, turns: self.turns }, self.bytes))
    }
}

/// The time that `text` says; one without a zone is in UTC.
pub(super) fn time(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.with_timezone(&Utc));
    }
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
        .into_iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .map(|time| time.and_utc())
}
