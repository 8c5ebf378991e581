//! Questions with an answer in one piece.

use axum::extract::State;
use http::HeaderMap;

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::Instrument;
use utoipa::ToSchema;

use super::answer::Stored;
use super::answering::Answer;
use super::error::ApiError;
use super::guard::Place;
use super::idempotency::{IdempotencyHeader, idempotency_key};
use super::json_object::JsonObject;
use super::query_request::{Query, QueryBody};
use super::refusal::{Conflict, NotFound, Refusal};
use super::service::{Caller, Service};
use crate::agent_manager::Hearing;

/// An answer. The order of its fields is the contract's.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QueryAnswer {
    /// The conversation.
    conversation_id: String,
    /// What the model answered.
    response: String,
    /// Taken from the contract; there are none.
    #[schema(value_type = Vec<Object>)]
    rag_chunks: Vec<Value>,
    /// The documents that the answer refers to.
    #[schema(value_type = Vec<Object>)]
    referenced_documents: Vec<Value>,
    /// Whether the answer was cut off: at the model's limit, or when it was interrupted.
    truncated: bool,
    /// How many tokens the model was given.
    input_tokens: u64,
    /// How many tokens it answered with.
    output_tokens: u64,
    /// Taken from the contract; there are none.
    #[schema(value_type = Object)]
    available_quotas: Map<String, Value>,
    /// The tools that the model called.
    #[schema(value_type = Vec<Object>)]
    tool_calls: Vec<Value>,
    /// What they answered.
    #[schema(value_type = Vec<Object>)]
    tool_results: Vec<Value>,
}

impl From<Answer> for QueryAnswer {
    fn from(answer: Answer) -> Self {
        Self {
            conversation_id: answer.conversation_id,
            response: answer.output.text,
            rag_chunks: Vec::new(),
            referenced_documents: answer.output.referenced_documents.unwrap_or_default(),
            truncated: answer.output.truncated || answer.interrupted,
            input_tokens: answer.input_tokens,
            output_tokens: answer.output_tokens,
            available_quotas: Map::new(),
            tool_calls: answer.output.tool_calls,
            tool_results: answer.output.tool_results,
        }
    }
}

/// Asks the model, and stores question and answer before it gives the answer.
///
/// With an `Idempotency-Key` it can be sent again: the model is asked once, and the first answer is given
/// each time. A caller who goes away meanwhile loses nothing: the answer is stored all the same.
#[utoipa::path(
    post, path = "/v1/query", tag = "query",
    params(IdempotencyHeader),
    request_body = QueryBody,
    responses((status = 200, description = "the answer", body = QueryAnswer), NotFound, Conflict, Refusal),
)]
pub(super) async fn query(
    State(service): State<Service>,
    caller: Caller,
    headers: HeaderMap,
    place: Place,
    body: JsonObject,
) -> Result<Stored<QueryAnswer>, ApiError> {
    let query = Query::read(caller.user_id(), &body)?;
    let key = idempotency_key(&headers)?;
    let worker = service.clone();
    // A task of its own, from the beginning: a caller who goes away does not take the answer along.
    let answering = async move {
        let answering = worker.begin(caller, query, key, false).await?;
        let answer = worker.answer(answering, Hearing::default()).await;
        drop(place);
        answer
    };
    let answered = service.tasks().spawn(answering.in_current_span());
    let answer = answered.await.map_err(|_| ApiError::internal())??;
    Ok(Stored::ok(answer.durability, QueryAnswer::from(answer)))
}
