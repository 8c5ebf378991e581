//! LangGraph's checkpoints in PostgreSQL: of each thread, the messages of its newest checkpoint. Threads name no
//! user, so that all of them become one's conversations.

mod message;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    ConversationId, Metadata, NewTurn, Payload, PayloadLimits, RepositoryError, TurnId, UserId,
};
use lcs_storage::source::{LANGGRAPH_BYTES, LangGraphThread};
use serde_json::json;
use tokio::sync::mpsc;

use super::{Arrivals, Draft, Gone, time};
use crate::llama_stack::turns_of;
use crate::transfer::arrival::{Arrival, Place};

/// Reads the threads to their end, or until nobody takes what comes.
///
/// # Errors
/// The threads' own: what was read before it has arrived.
pub async fn read(
    mut threads: BoxStream<'static, RepositoryResult<LangGraphThread>>,
    user_id: UserId,
    limits: PayloadLimits,
    sender: mpsc::Sender<Arrival>,
) -> RepositoryResult<()> {
    let mut arrivals = Arrivals::new(sender, limits);
    while let Some(thread) = threads.next().await {
        if take(&mut arrivals, user_id, &thread?).await.is_err() {
            return Ok(());
        }
    }
    arrivals.end().await;
    Ok(())
}

async fn take(arrivals: &mut Arrivals, user_id: UserId, thread: &LangGraphThread) -> Result<(), Gone> {
    let shown: String = thread.thread_id.chars().filter(|c| !c.is_control()).take(64).collect();
    let place = Place::Row(format!("checkpoints {shown}"));
    let id = ConversationId::from_external_id(user_id, &format!("langgraph:{}", thread.thread_id));
    match draft(place.clone(), user_id, id, thread, arrivals.limits) {
        Ok((place, incoming, bytes)) => arrivals.push(place, incoming, bytes).await,
        Err(reason) => arrivals.reject(place, Some(id), reason).await,
    }
}

/// The thread as a conversation, or why it is none.
fn draft(
    place: Place,
    user_id: UserId,
    id: ConversationId,
    thread: &LangGraphThread,
    limits: PayloadLimits,
) -> Result<(Place, lcs_domain::transfer::IncomingConversation, usize), String> {
    let said = |error: RepositoryError| error.to_string();
    if let Some(bytes) = thread.too_long {
        return Err(format!(
            "its messages take {bytes} bytes, and no more than {LANGGRAPH_BYTES} are read of a thread"
        ));
    }
    let Some((encoding, bytes)) = &thread.messages else {
        return Err("its newest checkpoint has no channel of messages".to_owned());
    };
    let items = message::items(encoding, bytes)?;
    let began = thread.began_at.as_deref().and_then(time);
    let began = began.ok_or("its first checkpoint does not say when it was written")?;
    let mut draft = Draft::new(place, user_id, id);
    draft.model = items.model;
    draft.changed_at = thread.changed_at.as_deref().and_then(time);
    draft.metadata = Metadata::from_value(&json!({ "langgraph_thread": thread.thread_id })).map_err(said)?;
    for (position, turn) in turns_of(&items.items).into_iter().enumerate() {
        let turn_id = TurnId::from_idempotency_key(user_id, &format!("langgraph:{id}:{position}"));
        let input = Payload::from_serialize_within(&turn.input_messages, limits).map_err(said)?;
        let output = turn.output_message.map(|output| Payload::from_serialize_within(&output, limits));
        let output = output.transpose().map_err(said)?;
        // A message does not say when it was said: the beginning stays what it is when the thread goes on.
        let turn = NewTurn::new(turn_id, input, output, began, began, Metadata::default()).map_err(said)?;
        draft.push(turn)?;
    }
    draft.finish().map_err(said)
}
