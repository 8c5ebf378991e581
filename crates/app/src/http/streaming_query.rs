//! Questions whose answer is told while it is made, and how it is stopped.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use lcs_domain::agent::{AnswerListener, AnswerPiece};
use lcs_domain::{Interruption, RequestId};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument;
use utoipa::ToSchema;

use super::answering::{Answer, Answering};
use super::error::ApiError;
use super::event::{Event, StreamedEvent};
use super::event_queue::{EventReceiver, EventSender, event_queue};
use super::guard::Place;
use super::idempotency::{IdempotencyHeader, idempotency_key};
use super::json_object::JsonObject;
use super::query_request::{MediaType, Query, QueryBody};
use super::refusal::{Conflict, NotFound, Refusal};
use super::service::{Caller, Service};
use super::validation::Fields;
use crate::agent_manager::Hearing;
use axum::Json;

/// Asks the model, and tells its answer while it is made.
///
/// The events are `start`, `token`, `tool_call`, `tool_result`, `turn_complete`, `end`, `interrupted` and
/// `error`, one JSON object each. Question and answer are stored before `end` is sent. A caller who goes
/// away stops the answer: what had been said by then is stored, and marked as interrupted.
#[utoipa::path(
    post, path = "/v1/streaming_query", tag = "query",
    params(IdempotencyHeader),
    request_body = QueryBody,
    responses(
        (status = 200, description = "the answer's events", content(
            (StreamedEvent = "text/event-stream", example = "data: {\"event\":\"token\",\"data\":{\"id\":0,\"token\":\"Hello\"}}\n\n"),
            (String = "text/plain"),
        )),
        NotFound, Conflict, Refusal,
    ),
)]
pub(super) async fn streaming_query(
    State(service): State<Service>,
    caller: Caller,
    headers: HeaderMap,
    place: Place,
    body: JsonObject,
) -> Result<Response, ApiError> {
    let query = Query::read(caller.user_id(), &body)?;
    let media_type = query.media_type;
    let key = idempotency_key(&headers)?;
    let (sender, receiver) = oneshot::channel();
    let worker = service.clone();
    // A task of its own: what was begun for a caller who has gone is given up, and blocks no key.
    let begin = async move {
        let answering = worker.begin_heard(caller, query, key).await;
        if let Err(Ok(answering)) = sender.send(answering) {
            worker.abandon(&answering).await;
        }
    };
    service.tasks().spawn(begin.in_current_span());
    let answering = receiver.await.map_err(|_| ApiError::internal())??;
    let (events, heard) = event_queue();
    let reader_gone = CancellationToken::new();
    // The body holds the guard: when it is dropped, read to its end or not, nobody listens any more.
    let guard = reader_gone.clone().drop_guard();
    let worker = service.clone();
    let telling = async move {
        worker.tell(answering, events, reader_gone).await;
        drop(place);
    };
    service.tasks().spawn(telling.in_current_span());
    let content_type = match media_type {
        MediaType::Json => "text/event-stream; charset=utf-8",
        MediaType::Text => "text/plain; charset=utf-8",
    };
    let content_type = HeaderValue::from_static(content_type);
    Ok(([(CONTENT_TYPE, content_type)], Body::from_stream(written(heard, media_type, guard))).into_response())
}

/// The events as they are sent, one after the other.
fn written(
    heard: EventReceiver,
    media_type: MediaType,
    guard: DropGuard,
) -> impl futures_util::Stream<Item = Result<Bytes, std::convert::Infallible>> {
    stream::unfold((heard, guard), |(mut heard, guard)| async move {
        heard.next().await.map(|event| (event, (heard, guard)))
    })
    .filter_map(move |event| std::future::ready(event.written(media_type).map(Ok)))
}

/// Sends on what it hears.
struct Teller(EventSender);

impl AnswerListener for Teller {
    fn hear(&self, piece: AnswerPiece) {
        match piece {
            AnswerPiece::Text(text) => self.0.tell_text(text),
            AnswerPiece::ToolCall(call) => self.0.tell(Event::ToolCall(call)),
            AnswerPiece::ToolResult(result) => self.0.tell(Event::ToolResult(result)),
        }
    }
}

impl Service {
    /// Begins an answer whose conversation is known to be there.
    async fn begin_heard(
        &self,
        caller: Caller,
        query: Query,
        key: Option<String>,
    ) -> Result<Answering, ApiError> {
        let answering = self.begin(caller, query, key, true).await?;
        self.require_conversation(&answering).await?;
        Ok(answering)
    }

    /// Answers, and tells the answer while it is made.
    async fn tell(&self, answering: Answering, events: EventSender, reader_gone: CancellationToken) {
        let teller = Arc::new(Teller(events));
        let (request_id, stop) = (answering.request_id, answering.stop.clone());
        teller.0.tell(Event::Start { conversation_id: answering.shown.clone(), request_id });
        let hearing = Hearing { listener: teller.clone(), stop: stop.clone() };
        let answer = self.answer(answering, hearing);
        let mut answer = std::pin::pin!(answer);
        let answered = tokio::select! {
            answered = &mut answer => answered,
            () = reader_gone.cancelled() => {
                stop.cancel();
                answer.await
            }
        };
        match answered {
            Ok(answer) => end(&teller.0, request_id, answer),
            Err(error) => teller.0.tell(Event::Error(error)),
        }
    }
}

fn end(events: &EventSender, request_id: RequestId, answer: Answer) {
    let text = &answer.output.text;
    if !events.has_told_text() && !text.is_empty() {
        // It was told before, to an earlier attempt, and comes from the store now.
        events.tell_text(text.clone());
    }
    if answer.interrupted {
        return events.tell(Event::Interrupted { request_id });
    }
    events.tell_complete(text.clone());
    events.tell(Event::End(Box::new(answer)));
}

/// Which answer to stop.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "it describes the body, which is read field by field")]
#[serde(deny_unknown_fields)]
pub(super) struct InterruptBody {
    /// The `request_id` of its `start` event.
    #[schema(format = Uuid, examples("018f3a5c-7d1e-7b3a-9c55-0242ac120002"))]
    request_id: String,
}

/// What an interruption came to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InterruptAnswer {
    /// The request.
    #[schema(value_type = Uuid)]
    request_id: RequestId,
    /// Whether it is stopped.
    interrupted: bool,
    /// The same in words.
    #[schema(examples("Streaming request interrupted"))]
    message: String,
}

/// Stops a streamed answer, on whatever replica it is made. What had been said by then is stored.
#[utoipa::path(
    post, path = "/v1/streaming_query/interrupt", tag = "query",
    request_body = InterruptBody,
    responses((status = 200, description = "it is told to stop, or has ended already", body = InterruptAnswer), NotFound, Refusal),
)]
pub(super) async fn interrupt(
    State(service): State<Service>,
    caller: Caller,
    body: JsonObject,
) -> Result<Json<InterruptAnswer>, ApiError> {
    let mut fields = Fields::of_body(&body.object);
    let request_id: Option<RequestId> = fields.required_text("request_id").and_then(|text| {
        let id = text.parse().ok();
        if id.is_none() {
            let shown: String = text.chars().take(64).collect();
            fields.value_error("request_id", &format!("Improper request ID {shown}"), &text.into());
        }
        id
    });
    fields.end()?;
    let Some(request_id) = request_id else { return Err(ApiError::internal()) };
    let user_id = caller.user_id();
    let interruption = service.repositories().requests().interrupt(user_id, request_id).await;
    match interruption.map_err(|error| ApiError::of_repository(&error, None))? {
        Some(Interruption::Requested) => {
            service.in_flight().stop(user_id, request_id);
            let message = "Streaming request interrupted".to_owned();
            Ok(Json(InterruptAnswer { request_id, interrupted: true, message }))
        }
        Some(Interruption::NotRunning) => {
            let message = "Streaming request already completed".to_owned();
            Ok(Json(InterruptAnswer { request_id, interrupted: false, message }))
        }
        None => Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "Streaming Request not found",
            format!("Streaming Request with ID {request_id} does not exist"),
        )),
    }
}
