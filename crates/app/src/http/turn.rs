//! Turns for hosts that call their own model: appended exactly once, and read page by page.

use axum::extract::State;
use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};
use lcs_domain::{
    AgentId, AgentStateUpdate, AppendTurn, Durability, Metadata, NewTurn, Payload, RepositoryError, Turn,
    TurnId, TurnRange,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::answer::Stored;
use super::conversation_id::ConversationName;
use super::document::Documents;
use super::error::ApiError;
use super::idempotency::{IdempotencyHeader, idempotency_key};
use super::json_object::JsonObject;
use super::parameter::{ConversationPath, Parameters, PathText};
use super::refusal::{Conflict, NotFound, Refusal};
use super::service::{Caller, Service};
use super::validation::Fields;

/// A turn to be appended.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "it describes the body, which is read field by field")]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "input_messages": [{ "role": "user", "content": "my favourite colour is teal" }],
    "output_message": { "role": "assistant", "content": "I will remember that." },
    "metadata": { "model": "gpt-4o-mini", "provider": "openai" },
    "expected_turn_count": 0
}))]
pub(super) struct AppendedTurn {
    /// The retry key, as a UUID of the caller's; the turn's own id is made of it and the user. Without it, the `Idempotency-Key` header is the key; without either,
    /// a new one is made, and the turn cannot be retried.
    #[schema(value_type = Option<Uuid>)]
    turn_id: Option<TurnId>,
    /// What was said to the model: any JSON document.
    #[schema(value_type = Value)]
    input_messages: Value,
    /// What the model answered: any JSON document.
    #[schema(value_type = Option<Value>)]
    output_message: Option<Value>,
    /// When the turn began; now where nothing is said.
    started_at: Option<DateTime<Utc>>,
    /// When it ended; now where nothing is said.
    completed_at: Option<DateTime<Utc>>,
    /// What to note beside it; `model` and `provider` are shown in histories.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
    /// How many turns the conversation must have before this one: otherwise nothing is stored.
    expected_turn_count: Option<u32>,
    /// The agent's state after the turn: stored with it, or neither is.
    agent_state: Option<AppendedState>,
}

/// The agent's state after a turn.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "it describes the body, which is read field by field")]
#[serde(deny_unknown_fields)]
pub(super) struct AppendedState {
    /// The agent that speaks in the conversation.
    #[schema(value_type = Uuid)]
    agent_id: AgentId,
    /// What the agent is configured with; as before where nothing is said.
    #[schema(value_type = Option<Value>)]
    agent_config: Option<Value>,
    /// What the agent remembers after the turn.
    #[schema(value_type = Value)]
    current_state: Value,
    /// The revision that this state was made from; 0 where there was none.
    expected_revision: u64,
}

/// What an append came to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AppendAnswer {
    /// The conversation, as the caller called it.
    conversation_id: String,
    /// The turn.
    #[schema(value_type = Uuid)]
    turn_id: TurnId,
    /// Its place in the conversation: 1 for the first. Provisional where it is journaled; `null` where it is
    /// journaled for a conversation whose turns cannot be counted now.
    turn_number: Option<u32>,
    /// The last revision that the agent's state was given.
    state_revision: u64,
    /// Whether this very turn had been stored before: nothing was written now.
    replayed: bool,
    /// How durable it is: `durable`, `journaled` or `volatile`.
    #[schema(value_type = String)]
    durability: Durability,
}

/// A page of a conversation's turns.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TurnList {
    /// The conversation, as the caller called it.
    conversation_id: String,
    /// The turns, turn numbers rising.
    turns: Vec<StoredTurn>,
    /// How many turns the conversation has.
    turn_count: u32,
    /// Whether there are turns before these.
    has_earlier: bool,
    /// Whether there are turns behind these.
    has_later: bool,
}

/// A turn as it is stored.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StoredTurn {
    /// The turn.
    #[schema(value_type = Uuid)]
    turn_id: TurnId,
    /// Its place in the conversation.
    turn_number: u32,
    /// What was said to the model.
    #[schema(value_type = Value)]
    input_messages: Payload,
    /// What the model answered.
    #[schema(value_type = Option<Value>)]
    output_message: Option<Payload>,
    /// When the turn began.
    started_at: DateTime<Utc>,
    /// When it ended.
    completed_at: DateTime<Utc>,
    /// What is noted beside it.
    #[schema(value_type = Object)]
    metadata: Metadata,
}

impl From<Turn> for StoredTurn {
    fn from(turn: Turn) -> Self {
        Self {
            turn_id: turn.turn_id,
            turn_number: turn.turn_number,
            input_messages: turn.input_messages,
            output_message: turn.output_message,
            started_at: turn.started_at,
            completed_at: turn.completed_at,
            metadata: turn.metadata,
        }
    }
}

/// Appends a turn exactly once: with the same key and content it may be sent any number of times.
#[utoipa::path(
    post, path = "/v1/conversations/{conversation_id}/turns", tag = "hosts",
    params(
        ConversationPath,
        IdempotencyHeader,
    ),
    request_body = AppendedTurn,
    responses(
        (status = 201, description = "the turn is stored", body = AppendAnswer),
        (status = 200, description = "this very turn had been stored before", body = AppendAnswer),
        NotFound, Conflict, Refusal,
    ),
)]
pub(super) async fn append_turn(
    State(service): State<Service>,
    caller: Caller,
    PathText(id): PathText,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<Stored<AppendAnswer>, ApiError> {
    let user_id = caller.user_id();
    let name = ConversationName::of_path(user_id, &id)?;
    let key = idempotency_key(&headers)?;
    let append = AppendBody::read(&service, &body)?;
    // A caller's id is good among his own turns alone: of another user's it says nothing (P9).
    let turn_id = match (append.turn_id, key) {
        (Some(id), _) => TurnId::from_idempotency_key(user_id, &format!("turn-id:{id}")),
        (None, Some(key)) => TurnId::from_idempotency_key(user_id, &format!("turn:{key}")),
        (None, None) => TurnId::generate(),
    };
    let failed = |error: RepositoryError| ApiError::of_repository(&error, Some(&name.shown));
    let now = service.clock().now();
    let turn = NewTurn::new(
        turn_id,
        append.input_messages,
        append.output_message,
        append.started_at.unwrap_or(now),
        append.completed_at.unwrap_or(now),
        append.metadata,
    );
    let append = AppendTurn {
        conversation_id: name.id,
        turn: turn.map_err(failed)?,
        expected_turn_count: append.expected_turn_count,
        agent_state: append.agent_state,
    };
    let appended = service.repositories().turns().append(user_id, append).await.map_err(failed)?;
    let status = if appended.replayed { StatusCode::OK } else { StatusCode::CREATED };
    let body = AppendAnswer {
        conversation_id: name.shown,
        turn_id,
        turn_number: appended.turn_number,
        state_revision: appended.state_revision,
        replayed: appended.replayed,
        durability: appended.durability,
    };
    Ok(Stored { status, durability: appended.durability, body })
}

/// What the body of an append says.
struct AppendBody {
    turn_id: Option<TurnId>,
    input_messages: Payload,
    output_message: Option<Payload>,
    started_at: Option<DateTime<Utc>>,
    completed_at: Option<DateTime<Utc>>,
    metadata: Metadata,
    expected_turn_count: Option<u32>,
    agent_state: Option<AgentStateUpdate>,
}

impl AppendBody {
    fn read(service: &Service, body: &JsonObject) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(&body.object);
        let turn_id = fields.id("turn_id");
        fields.required_document("input_messages");
        fields.document("output_message");
        let started_at = fields.time("started_at");
        let completed_at = fields.time("completed_at");
        fields.object_document("metadata");
        let expected_turn_count = fields.small_number("expected_turn_count");
        let state = fields.object("agent_state").map(|object| {
            let mut state = Fields::new(object, fields.place("agent_state"));
            let agent_id: Option<AgentId> = state.required_id("agent_id");
            state.document("agent_config");
            state.required_document("current_state");
            let expected_revision = state.required_number("expected_revision");
            fields.take(state.into_problems());
            (agent_id, expected_revision)
        });
        fields.end()?;
        let documents = Documents::of_body(&body.object, service.manager().payload_limits());
        let agent_state = match state {
            Some((Some(agent_id), Some(expected_revision))) => {
                let documents = documents.of("agent_state");
                Some(AgentStateUpdate {
                    agent_id,
                    agent_config: documents.payload("agent_config")?,
                    current_state: documents.required_payload("current_state")?,
                    expected_revision,
                })
            }
            _ => None,
        };
        Ok(Self {
            turn_id,
            input_messages: documents.required_payload("input_messages")?,
            output_message: documents.payload("output_message")?,
            started_at,
            completed_at,
            metadata: documents.metadata("metadata")?,
            expected_turn_count,
            agent_state,
        })
    }
}

/// A page of the conversation's turns, turn numbers rising: the newest, or those after or before a number.
#[utoipa::path(
    get, path = "/v1/conversations/{conversation_id}/turns", tag = "hosts",
    params(
        ConversationPath,
        ("after" = Option<u32>, Query, description = "only turns with a number above this one, the lowest first"),
        ("before" = Option<u32>, Query, description = "only turns with a number below this one, the highest of them"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "how many at most, 50 where nothing is said"),
    ),
    responses((status = 200, description = "the turns", body = TurnList), NotFound, Refusal),
)]
pub(super) async fn list_turns(
    State(service): State<Service>,
    caller: Caller,
    PathText(id): PathText,
    mut parameters: Parameters,
) -> Result<Stored<TurnList>, ApiError> {
    let user_id = caller.user_id();
    let name = ConversationName::of_path(user_id, &id)?;
    let limit = parameters.limit("limit");
    let range = match (parameters.turn_number("after"), parameters.turn_number("before")) {
        (Some(after), None) => TurnRange::After(after),
        (None, Some(before)) => TurnRange::Before(before),
        (None, None) => TurnRange::Newest,
        (Some(_), Some(before)) => {
            parameters.problem("before", "write either after or before", &before.to_string());
            TurnRange::Before(before)
        }
    };
    parameters.end()?;
    let page = service.repositories().turns().page(user_id, name.id, range, limit.unwrap_or_default()).await;
    let page = page.map_err(|error| ApiError::of_repository(&error, Some(&name.shown)))?;
    let page = page.ok_or_else(|| name.not_found())?;
    let body = TurnList {
        has_earlier: page.has_earlier(),
        has_later: page.has_later(),
        turn_count: page.turn_count,
        conversation_id: name.shown,
        turns: page.turns.into_iter().map(StoredTurn::from).collect(),
    };
    Ok(Stored::ok(page.durability, body))
}
