//! A streamed answer: server-sent events, each within a size, none long after the one before.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use eventsource_stream::{Event, EventStreamError, Eventsource};
use futures_util::StreamExt;
use lcs_domain::agent::AgentError;
use reqwest::Response;
use serde_json::Value;
use tokio::time::timeout;

use super::answer::Incoming;
use super::failure;
use crate::endpoint::Endpoint;

/// Reads the stream to its end, into `incoming`. Nothing behind the end is waited for.
///
/// # Errors
/// Where the stream ends, breaks or falls silent before the answer is complete, where it holds what is no
/// event of a Responses API, and where the model says that it failed.
pub(super) async fn read(
    endpoint: &Endpoint,
    response: Response,
    max_event_bytes: usize,
    incoming: &mut Incoming<'_>,
) -> Result<(), AgentError> {
    // The parser keeps what is no whole event yet, however long it gets: so what goes into it is counted.
    let unread = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&unread);
    let bytes = response.bytes_stream().map(move |chunk| {
        let chunk = chunk.map_err(Broken::Connection)?;
        let size = counted.fetch_add(chunk.len(), Ordering::Relaxed) + chunk.len();
        if size > max_event_bytes { Err(Broken::TooLarge) } else { Ok(chunk) }
    });
    let mut events = Box::pin(bytes.eventsource());
    while !incoming.is_cut() {
        let event = timeout(endpoint.idle_timeout(), events.next()).await.map_err(|_| endpoint.silent())?;
        unread.store(0, Ordering::Relaxed);
        match event {
            Some(Ok(event)) => {
                if take(&event, endpoint, incoming)? {
                    return Ok(());
                }
            }
            Some(Err(EventStreamError::Transport(Broken::Connection(error)))) => {
                return Err(endpoint.cut_off(error));
            }
            Some(Err(EventStreamError::Transport(Broken::TooLarge))) => {
                return Err(failure::unintelligible("an event that is too large"));
            }
            Some(Err(_)) => return Err(failure::unintelligible("what is no stream of events")),
            None => return Err(endpoint.unavailable(ENDED)),
        }
    }
    Ok(())
}

const ENDED: &str = "ended its answer in the middle";

/// Takes an event; `true` where it was the last.
fn take(event: &Event, endpoint: &Endpoint, incoming: &mut Incoming<'_>) -> Result<bool, AgentError> {
    if event.data.trim() == "[DONE]" {
        return Err(endpoint.unavailable(ENDED));
    }
    let malformed = || failure::unintelligible("an event that cannot be read");
    let data: Value = serde_json::from_str(&event.data).map_err(|_| malformed())?;
    let response = || data.get("response").ok_or_else(malformed);
    let Some(kind) = data.get("type").and_then(Value::as_str) else {
        // OGX tells in this form of what fails while it streams.
        return Err(if data.get("error").is_some() { failure::told_by(&data) } else { malformed() });
    };
    match kind {
        "response.output_text.delta" | "response.refusal.delta" => {
            let delta = data.get("delta").and_then(Value::as_str).ok_or_else(malformed)?;
            incoming.say(delta.to_owned());
            Ok(false)
        }
        "response.output_item.done" => {
            incoming.item(data.get("item").ok_or_else(malformed)?);
            Ok(false)
        }
        "response.completed" => incoming.end(response()?).map(|()| true),
        "response.incomplete" => {
            incoming.end(response()?)?;
            incoming.cut();
            Ok(true)
        }
        "response.failed" | "response.cancelled" => Err(failure::told_by(response()?)),
        "error" => Err(failure::told_by(&data)),
        // What else there is tells of progress.
        _ => Ok(false),
    }
}

/// Why there are no more bytes.
#[derive(Debug)]
enum Broken {
    Connection(reqwest::Error),
    TooLarge,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection(_) => "the connection is broken",
            Self::TooLarge => "the event is too large",
        })
    }
}
