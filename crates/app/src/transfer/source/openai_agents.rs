//! The sessions of the OpenAI Agents SDK, in SQLite: all of them become conversations of one user, because they name
//! none.

use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    ConversationId, Metadata, NewTurn, Payload, PayloadLimits, RepositoryError, TurnId, UserId,
};
use lcs_storage::source::AgentsMessageRow;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Arrivals, Draft, Gone, MAX_BYTES};
use crate::llama_stack::{AdoptedTurn, Item, turns_of};
use crate::transfer::arrival::{Arrival, Place};

/// How many items a session may have: they are held together, to be made turns of.
const MAX_ITEMS: usize = 100_000;

/// A session that is being read.
struct Session {
    name: String,
    first_row: i64,
    items: Vec<Item>,
    bytes: usize,
    /// When each of its rows was written.
    times: Vec<(i64, DateTime<Utc>)>,
    is_rejected: bool,
}

/// Reads the rows to their end, or until nobody takes what comes.
///
/// # Errors
/// The rows' own: what was read before it has arrived.
pub async fn read(
    mut rows: BoxStream<'static, RepositoryResult<AgentsMessageRow>>,
    user_id: UserId,
    limits: PayloadLimits,
    sender: mpsc::Sender<Arrival>,
) -> RepositoryResult<()> {
    let mut arrivals = Arrivals::new(sender, limits);
    let mut session: Option<Session> = None;
    while let Some(row) = rows.next().await {
        let row = row?;
        if session.as_ref().is_some_and(|session| session.name != row.session_id)
            && finish(&mut arrivals, user_id, session.take()).await.is_err()
        {
            return Ok(());
        }
        if take(&mut arrivals, &mut session, row).await.is_err() {
            return Ok(());
        }
    }
    if finish(&mut arrivals, user_id, session).await.is_ok() {
        arrivals.end().await;
    }
    Ok(())
}

async fn take(
    arrivals: &mut Arrivals,
    session: &mut Option<Session>,
    row: AgentsMessageRow,
) -> Result<(), Gone> {
    let session = session.get_or_insert_with(|| Session {
        name: row.session_id.clone(),
        first_row: row.id,
        items: Vec::new(),
        bytes: 0,
        times: Vec::new(),
        is_rejected: false,
    });
    if session.is_rejected {
        return Ok(());
    }
    let problem =
        match Payload::parse_within(&row.message_data, arrivals.limits).map(|json| json.to_value()) {
            Ok(Ok(Value::Object(mut item))) => {
                // A turn is known by its first item's id, which not every item has.
                if matches!(item.get("type").and_then(Value::as_str), None | Some("message")) {
                    item.insert("id".to_owned(), row.id.to_string().into());
                }
                session.items.push(Item::new(Value::Object(item)));
                session.times.extend(row.created_at.map(|time| (row.id, time)));
                session.bytes += row.message_data.len();
                (session.items.len() > MAX_ITEMS || session.bytes > MAX_BYTES)
                    .then(|| format!("the session has more than {MAX_ITEMS} items or {MAX_BYTES} bytes"))
            }
            Ok(Ok(_)) => Some("the message is no JSON object".to_owned()),
            // Where in the message it is wrong, its keys would say.
            Ok(Err(RepositoryError::Invalid { reason, .. }))
            | Err(RepositoryError::Invalid { reason, .. }) => Some(reason),
            Ok(Err(error)) | Err(error) => Some(error.to_string()),
        };
    let Some(problem) = problem else { return Ok(()) };
    session.is_rejected = true;
    session.items = Vec::new();
    arrivals.reject(place(row.id), None, problem).await
}

fn place(row: i64) -> Place {
    Place::Row(format!("agent_messages {row}"))
}

async fn finish(arrivals: &mut Arrivals, user_id: UserId, session: Option<Session>) -> Result<(), Gone> {
    let Some(session) = session.filter(|session| !session.is_rejected) else { return Ok(()) };
    let id = ConversationId::from_external_id(user_id, &format!("openai-agents:{}", session.name));
    let place = place(session.first_row);
    match draft(user_id, id, &session, arrivals.limits).and_then(Draft::finish) {
        Ok((place, incoming, bytes)) => arrivals.push(place, incoming, bytes).await,
        Err(error) => arrivals.reject(place, Some(id), error.to_string()).await,
    }
}

fn draft(
    user_id: UserId,
    id: ConversationId,
    session: &Session,
    limits: PayloadLimits,
) -> Result<Draft, RepositoryError> {
    let mut draft = Draft::new(place(session.first_row), user_id, id);
    draft.metadata = Metadata::from_value(&json!({ "openai_agents_session": session.name }))?;
    draft.changed_at = session.times.last().map(|(_, time)| *time);
    for (position, turn) in turns_of(&session.items).into_iter().enumerate() {
        let turn = new_turn(user_id, id, position, turn, &session.times, limits)?;
        draft.push(turn).map_err(|reason| RepositoryError::invalid("", reason))?;
    }
    Ok(draft)
}

fn new_turn(
    user_id: UserId,
    id: ConversationId,
    position: usize,
    turn: AdoptedTurn,
    times: &[(i64, DateTime<Utc>)],
    limits: PayloadLimits,
) -> Result<NewTurn, RepositoryError> {
    let turn_id = TurnId::from_idempotency_key(user_id, &format!("openai-agents:{id}:{position}"));
    let row: Option<i64> = turn.first_item_id.and_then(|id| id.parse().ok());
    let at = times.iter().find(|(written, _)| Some(*written) == row).or(times.first());
    let at = at.map_or(DateTime::UNIX_EPOCH, |(_, time)| *time);
    let input = Payload::from_serialize_within(&turn.input_messages, limits)?;
    let output =
        turn.output_message.map(|output| Payload::from_serialize_within(&output, limits)).transpose()?;
    NewTurn::new(turn_id, input, output, at, at, Metadata::default())
}
