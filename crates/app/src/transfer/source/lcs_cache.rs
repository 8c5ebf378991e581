//! Lightspeed Core Stack's conversation cache, in PostgreSQL and in SQLite.

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use lcs_domain::agent::Usage;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    ConversationId, Metadata, NewTurn, Payload, PayloadLimits, RepositoryError, TurnId, UserId,
};
use lcs_storage::source::LcsCacheRow;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use super::{Arrivals, Draft, Gone, time};
use crate::http::conversation_id::ConversationName;
use crate::transfer::arrival::{Arrival, Place};

/// The conversation that the rows are of now.
struct Current {
    /// As LCS calls them.
    names: (String, String),
    /// `None`: it is rejected, and its other rows are passed over.
    draft: Option<Draft>,
}

/// Reads the rows to their end, or until nobody takes what comes.
///
/// # Errors
/// The rows' own: what was read before it has arrived.
pub async fn read(
    mut rows: BoxStream<'static, RepositoryResult<LcsCacheRow>>,
    limits: PayloadLimits,
    sender: mpsc::Sender<Arrival>,
) -> RepositoryResult<()> {
    let mut arrivals = Arrivals::new(sender, limits);
    let mut current: Option<Current> = None;
    while let Some(row) = rows.next().await {
        let row = row?;
        let is_same = current
            .as_ref()
            .is_some_and(|current| current.names.0 == row.user_id && current.names.1 == row.conversation_id);
        if !is_same && finish(&mut arrivals, current.take()).await.is_err() {
            return Ok(());
        }
        if take(&mut arrivals, &mut current, &row).await.is_err() {
            return Ok(());
        }
    }
    if finish(&mut arrivals, current).await.is_ok() {
        arrivals.end().await;
    }
    Ok(())
}

async fn finish(arrivals: &mut Arrivals, current: Option<Current>) -> Result<(), Gone> {
    let Some(Current { draft: Some(draft), .. }) = current else { return Ok(()) };
    let (place, id) = (draft.place.clone(), draft.conversation_id);
    match draft.finish() {
        Ok((place, incoming, bytes)) => arrivals.push(place, incoming, bytes).await,
        Err(error) => arrivals.reject(place, Some(id), error.to_string()).await,
    }
}

/// Takes in a row, with the conversation that it begins.
async fn take(arrivals: &mut Arrivals, current: &mut Option<Current>, row: &LcsCacheRow) -> Result<(), Gone> {
    if current.is_none() {
        let draft = begin(row);
        if draft.is_none() {
            let reason = "its conversation id is none that LCS takes: 48 hexadecimal digits, or a UUID";
            arrivals.reject(place(row), None, reason).await?;
        }
        *current = Some(Current { names: (row.user_id.clone(), row.conversation_id.clone()), draft });
    }
    let Some(draft) = current.as_mut().and_then(|current| current.draft.as_mut()) else { return Ok(()) };
    let id = draft.conversation_id;
    let turn = turn(row, draft.user_id, id, arrivals.limits);
    let problem = match turn {
        Ok(turn) => draft.push(turn).err(),
        Err(error) => Some(error.to_string()),
    };
    if let Some(problem) = problem {
        // A history with a hole in it is none.
        if let Some(current) = current {
            current.draft = None;
        }
        arrivals.reject(place(row), Some(id), problem).await?;
    }
    Ok(())
}

/// The row's key: who and where, and nothing of what was said.
fn place(row: &LcsCacheRow) -> Place {
    let shown = |text: &str| text.chars().take(64).filter(|c| !c.is_control()).collect::<String>();
    let (user, conversation) = (shown(&row.user_id), shown(&row.conversation_id));
    Place::Row(format!("cache {user} {conversation} {}", row.created_at.to_rfc3339()))
}

fn begin(row: &LcsCacheRow) -> Option<Draft> {
    let user_id = UserId::from_text(&row.user_id);
    let name = ConversationName::parse(user_id, &row.conversation_id)?;
    Some(Draft {
        external_id: name.external_id,
        model: row.model.clone(),
        topic_summary: row.topic_summary.clone(),
        changed_at: row.last_message_at,
        ..Draft::new(place(row), user_id, name.id)
    })
}

fn turn(
    row: &LcsCacheRow,
    user_id: UserId,
    conversation_id: ConversationId,
    limits: PayloadLimits,
) -> Result<NewTurn, RepositoryError> {
    // As it stands there: in whichever time zone it is read, it is the same turn.
    let written = row.written_at.and_utc().timestamp_micros();
    let turn_id = TurnId::from_idempotency_key(user_id, &format!("lcs-cache:{conversation_id}:{written}"));
    let input: Vec<Value> =
        row.query.iter().map(|query| json!({ "role": "user", "content": query })).collect();
    let input = Payload::from_serialize_within(&input, limits)?;
    let mut output = Map::new();
    output.insert("role".to_owned(), "assistant".into());
    output.insert("content".to_owned(), row.response.clone().unwrap_or_default().into());
    for (name, list) in [
        ("referenced_documents", &row.referenced_documents),
        ("tool_calls", &row.tool_calls),
        ("tool_results", &row.tool_results),
    ] {
        if let Some(list) = list.as_deref().filter(|list| *list != "null") {
            let list = Payload::parse_within(list, limits).map_err(|error| in_column(error, name))?;
            output.insert(name.to_owned(), list.to_value()?);
        }
    }
    let has_output = row.response.is_some() || output.len() > 2;
    let output = has_output.then(|| Payload::from_serialize_within(&output, limits)).transpose()?;
    let known = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let usage = Usage { model: known(&row.model), provider: known(&row.provider), ..Usage::default() };
    let began = row.started_at.as_deref().and_then(time).unwrap_or(row.created_at);
    let ended = row.completed_at.as_deref().and_then(time).unwrap_or(row.created_at);
    let metadata = Metadata::default().noted(usage.notes())?;
    NewTurn::new(turn_id, input, output, began, ended, metadata)
}

/// `error` of a document, which may name what users said, as one of its column.
fn in_column(error: RepositoryError, name: &str) -> RepositoryError {
    match error {
        RepositoryError::Invalid { reason, .. } => RepositoryError::invalid(format!("/{name}"), reason),
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, FixedOffset, NaiveDate, Utc};

    #[test]
    fn a_turn_is_the_same_in_whichever_time_zone_its_row_is_read() {
        let written_at = NaiveDate::from_ymd_opt(2026, 1, 31).unwrap().and_hms_opt(21, 0, 1).unwrap();
        let user_id = UserId::from_text("ada");
        let id = ConversationId::from_external_id(user_id, "x");
        let turn_in = |hours: i32| {
            let zone = FixedOffset::east_opt(hours * 3_600).unwrap();
            let created_at: DateTime<Utc> = written_at.and_local_timezone(zone).unwrap().to_utc();
            let row = LcsCacheRow {
                user_id: "ada".to_owned(),
                conversation_id: "x".to_owned(),
                created_at,
                written_at,
                started_at: None,
                completed_at: None,
                query: Some("hello".to_owned()),
                response: None,
                provider: None,
                model: None,
                referenced_documents: None,
                tool_calls: None,
                tool_results: None,
                topic_summary: None,
                last_message_at: None,
            };
            turn(&row, user_id, id, PayloadLimits::default()).unwrap()
        };
        let (here, there) = (turn_in(0), turn_in(9));
        assert_eq!(here.turn_id(), there.turn_id());
        assert_ne!(here.started_at(), there.started_at());
    }
}
