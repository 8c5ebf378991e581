//! Conversations that a Llama Stack (OGX) holds, and of which LCS's metadata knows whose they are: that tells no
//! more than it must, and the Llama Stack lists none.

use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use lcs_domain::agent::{AgentFailure, Usage};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{Metadata, NewTurn, Payload, PayloadLimits, RepositoryError, TurnId, UserId};
use lcs_storage::source::{LcsMetadataRow, LcsTurn};
use thiserror::Error;
use tokio::sync::mpsc;

use super::{Arrivals, Draft, Gone};
use crate::http::conversation_id::ConversationName;
use crate::llama_stack::{AdoptedTurn, LlamaStack, turns_of};
use crate::transfer::arrival::{Arrival, Place};

/// What LCS's metadata say of a conversation.
struct Known {
    row: LcsMetadataRow,
    turns: Vec<LcsTurn>,
}

/// Why a source was not read to its end.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The metadata could not be read.
    #[error(transparent)]
    Metadata(#[from] RepositoryError),
    /// The Llama Stack could not.
    #[error("{0}")]
    LlamaStack(String),
}

/// Why a conversation does not arrive.
enum Failure {
    /// It is rejected.
    Rejected(String),
    /// The Llama Stack cannot be read now: nothing is known of any other conversation either.
    Unavailable(String),
}

/// Reads the conversations that `rows` name out of `llama_stack`, or until nobody takes what comes.
///
/// # Errors
/// The rows' own, and that the Llama Stack is not there: what was read before it has arrived.
pub async fn read(
    mut rows: BoxStream<'static, RepositoryResult<LcsMetadataRow>>,
    llama_stack: LlamaStack,
    limits: PayloadLimits,
    sender: mpsc::Sender<Arrival>,
) -> Result<(), SourceError> {
    let mut arrivals = Arrivals::new(sender, limits);
    let mut known: Option<Known> = None;
    loop {
        let row = rows.next().await.transpose()?;
        let is_same = match (&known, &row) {
            (Some(known), Some(row)) => known.row.conversation_id == row.conversation_id,
            _ => false,
        };
        if !is_same
            && let Some(known) = known.take()
            && finish(&mut arrivals, &llama_stack, known).await?.is_err()
        {
            return Ok(());
        }
        let Some(row) = row else { break };
        let known = known.get_or_insert_with(|| Known { row: row.clone(), turns: Vec::new() });
        known.turns.extend(row.turn);
    }
    arrivals.end().await;
    Ok(())
}

async fn finish(
    arrivals: &mut Arrivals,
    llama_stack: &LlamaStack,
    known: Known,
) -> Result<Result<(), Gone>, SourceError> {
    let shown: String = known.row.conversation_id.chars().filter(|c| !c.is_control()).take(64).collect();
    let place = Place::Row(format!("user_conversation {shown}"));
    let draft = match draft(llama_stack, &place, &known, arrivals.limits).await {
        Ok(draft) => draft,
        Err(Failure::Rejected(reason)) => return Ok(arrivals.reject(place, None, reason).await),
        Err(Failure::Unavailable(reason)) => return Err(SourceError::LlamaStack(reason)),
    };
    let id = draft.conversation_id;
    Ok(match draft.finish() {
        Ok((place, incoming, bytes)) => arrivals.push(place, incoming, bytes).await,
        Err(error) => arrivals.reject(place, Some(id), error.to_string()).await,
    })
}

async fn draft(
    llama_stack: &LlamaStack,
    place: &Place,
    known: &Known,
    limits: PayloadLimits,
) -> Result<Draft, Failure> {
    let rejected = |reason: &str| Failure::Rejected(reason.to_owned());
    let row = &known.row;
    let user_id = UserId::from_text(&row.user_id);
    let name = ConversationName::parse(user_id, &row.conversation_id)
        .ok_or_else(|| rejected("its conversation id is none that LCS takes"))?;
    let items = llama_stack.items_or_why(&row.conversation_id, None).await;
    let items = items.map_err(|error| match error.failure {
        AgentFailure::Unavailable => Failure::Unavailable(error.reason),
        _ => Failure::Rejected(error.reason),
    })?;
    let items = items.ok_or_else(|| rejected("the Llama Stack has no such conversation"))?;
    let mut draft = Draft {
        external_id: name.external_id,
        model: Some(row.model.clone()),
        topic_summary: Some(row.topic_summary.clone()),
        changed_at: row.last_message_at,
        ..Draft::new(place.clone(), user_id, name.id)
    };
    for (position, turn) in turns_of(&items).into_iter().enumerate() {
        let number = i64::try_from(position + 1).unwrap_or(i64::MAX);
        let noted = known.turns.iter().find(|noted| noted.turn_number == number);
        let turn = new_turn(&draft, position, turn, noted, row.created_at, limits)
            .map_err(|error| Failure::Rejected(error.to_string()))?;
        draft.push(turn).map_err(Failure::Rejected)?;
    }
    Ok(draft)
}

/// The turn, with what LCS noted beside it.
fn new_turn(
    draft: &Draft,
    position: usize,
    turn: AdoptedTurn,
    noted: Option<&LcsTurn>,
    begun: Option<DateTime<Utc>>,
    limits: PayloadLimits,
) -> Result<NewTurn, RepositoryError> {
    let (user_id, conversation_id) = (draft.user_id, draft.conversation_id);
    let key = turn.first_item_id.unwrap_or_else(|| position.to_string());
    let turn_id = TurnId::from_idempotency_key(user_id, &format!("llama-stack:{conversation_id}:{key}"));
    let input = Payload::from_serialize_within(&turn.input_messages, limits)?;
    let output =
        turn.output_message.map(|output| Payload::from_serialize_within(&output, limits)).transpose()?;
    let known = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let usage = noted.map_or_else(Usage::default, |noted| Usage {
        model: known(&noted.model),
        provider: known(&noted.provider),
        ..Usage::default()
    });
    let begun = begun.unwrap_or(DateTime::UNIX_EPOCH);
    let started_at = noted.and_then(|noted| noted.started_at).unwrap_or(begun);
    let completed_at = noted.and_then(|noted| noted.completed_at).unwrap_or(started_at);
    let metadata = Metadata::default().noted(usage.notes())?;
    NewTurn::new(turn_id, input, output, started_at, completed_at, metadata)
}
