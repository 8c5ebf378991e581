//! Agent states for hosts that keep their own agents: revision by revision, by `ETag` and `If-Match`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use lcs_domain::{
    AgentId, AgentState, ConversationId, Durability, Entity, Payload, RepositoryError, SaveAgentState,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::answer::Stored;
use super::conversation_id::ConversationName;
use super::document::Documents;
use super::error::ApiError;
use super::json_object::JsonObject;
use super::parameter::{AgentPath, ConversationPath, PathText};
use super::refusal::{Conflict, NotFound, PreconditionFailed, PreconditionRequired, Refusal};
use super::service::{Caller, Service};
use super::validation::Fields;

/// An agent's state.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StoredAgentState {
    /// The agent.
    #[schema(value_type = Uuid)]
    agent_id: AgentId,
    /// The conversation that it speaks in.
    #[schema(value_type = Uuid)]
    conversation_id: ConversationId,
    /// What it is configured with.
    #[schema(value_type = Value)]
    agent_config: Payload,
    /// What it remembers.
    #[schema(value_type = Option<Value>)]
    current_state: Option<Payload>,
    /// Its revision, which is the `ETag` too.
    revision: u64,
    /// How many turns it has seen.
    through_turn: u32,
    /// When it was first stored.
    created_at: DateTime<Utc>,
    /// When it was last stored.
    updated_at: DateTime<Utc>,
}

/// The agent that speaks in a conversation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConversationAgent {
    /// The conversation, as the caller called it.
    conversation_id: String,
    /// The agent.
    #[schema(value_type = Uuid)]
    agent_id: AgentId,
    /// The last revision that its state was given, which is the `ETag` too; 0 where it never had one.
    revision: u64,
    /// Its state, where there is one.
    state: Option<StoredAgentState>,
}

/// A state to be stored.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "it describes the body, which is read field by field")]
#[serde(deny_unknown_fields)]
pub(super) struct SaveState {
    /// The conversation that the agent speaks in.
    conversation_id: String,
    /// What the agent is configured with; as before where nothing is said.
    #[schema(value_type = Option<Value>)]
    agent_config: Option<Value>,
    /// What the agent remembers; nothing where nothing is said.
    #[schema(value_type = Option<Value>)]
    current_state: Option<Value>,
    /// How many turns this state has seen.
    through_turn: u32,
}

/// A state that was stored.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SavedState {
    /// The agent.
    #[schema(value_type = Uuid)]
    agent_id: AgentId,
    /// The new revision, which is the `ETag` too.
    revision: u64,
}

/// A state that was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeletedState {
    /// The agent.
    #[schema(value_type = Uuid)]
    agent_id: AgentId,
    /// Whether there was one.
    deleted: bool,
}

impl From<AgentState> for StoredAgentState {
    fn from(state: AgentState) -> Self {
        Self {
            agent_id: state.agent_id,
            conversation_id: state.conversation_id,
            agent_config: state.agent_config,
            current_state: state.current_state,
            revision: state.revision,
            through_turn: state.through_turn,
            created_at: state.created_at,
            updated_at: state.updated_at,
        }
    }
}

/// The state of an agent, with its revision as the `ETag`.
#[utoipa::path(
    get, path = "/v1/agents/{agent_id}/state", tag = "hosts",
    params(AgentPath),
    responses((status = 200, description = "the state", body = StoredAgentState, headers(("ETag" = String))), NotFound, Refusal),
)]
pub(super) async fn get_agent_state(
    State(service): State<Service>,
    caller: Caller,
    PathText(id): PathText,
) -> Result<Response, ApiError> {
    let agent_id = agent_id(&id)?;
    let state = service.repositories().agent_states().get(caller.user_id(), agent_id).await;
    let state = state.map_err(|error| ApiError::of_repository(&error, None))?.ok_or_else(not_found)?;
    let durability = state.durability;
    Ok(tagged(state.revision, durability, StoredAgentState::from(state)))
}

/// Stores a state made from the revision that `If-Match` names; the first one with `If-None-Match: *`.
#[utoipa::path(
    put, path = "/v1/agents/{agent_id}/state", tag = "hosts",
    params(
        AgentPath,
        ("If-Match" = Option<String>, Header, description = "the `ETag` of the revision that the state was made from"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: there must be no state yet"),
    ),
    request_body = SaveState,
    responses(
        (status = 200, description = "it is stored", body = SavedState, headers(("ETag" = String))),
        NotFound, Conflict, PreconditionFailed, PreconditionRequired, Refusal,
    ),
)]
pub(super) async fn put_agent_state(
    State(service): State<Service>,
    caller: Caller,
    PathText(id): PathText,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<Response, ApiError> {
    let agent_id = agent_id(&id)?;
    let user_id = caller.user_id();
    let mut fields = Fields::of_body(&body.object);
    let conversation = fields.required_text("conversation_id").and_then(|text| {
        let name = ConversationName::parse(user_id, text);
        if name.is_none() {
            fields.value_error(
                "conversation_id",
                "write a conversation's id: a UUID or 48 hexadecimal digits",
                &text.into(),
            );
        }
        name
    });
    fields.document("agent_config");
    fields.document("current_state");
    let through_turn = fields.required_small_number("through_turn");
    fields.end()?;
    let (Some(conversation), Some(through_turn)) = (conversation, through_turn) else {
        // What is missing has been named by now.
        return Err(ApiError::internal());
    };
    let documents = Documents::of_body(&body.object, service.manager().payload_limits());
    let agent_config = documents.payload("agent_config")?;
    let current_state = documents.payload("current_state")?;
    // After the body: a precondition says nothing of a request that would be refused without it (RFC 9110, 13.2.1).
    let expected_revision = expected_revision(&headers)?;
    let save = SaveAgentState {
        agent_id,
        conversation_id: conversation.id,
        agent_config,
        current_state,
        expected_revision,
        through_turn,
    };
    match service.repositories().agent_states().save(user_id, save).await {
        Ok(saved) => {
            let body = SavedState { agent_id, revision: saved.revision };
            Ok(tagged(saved.revision, saved.durability, body))
        }
        Err(RepositoryError::Conflict { entity: Entity::AgentState, observed, .. }) => {
            let cause = format!("the state's revision is {observed}: read it again, then decide");
            Err(ApiError::new(StatusCode::PRECONDITION_FAILED, "The agent's state has changed", cause))
        }
        Err(RepositoryError::NotFound { entity: Entity::AgentState }) => Err(not_found()),
        Err(error) => Err(ApiError::of_repository(&error, Some(&conversation.shown))),
    }
}

/// Deletes the state of an agent. One that is not there is no error.
#[utoipa::path(
    delete, path = "/v1/agents/{agent_id}/state", tag = "hosts",
    params(AgentPath),
    responses((status = 200, description = "it is gone", body = DeletedState), Refusal),
)]
pub(super) async fn delete_agent_state(
    State(service): State<Service>,
    caller: Caller,
    PathText(id): PathText,
) -> Result<Stored<DeletedState>, ApiError> {
    let agent_id = agent_id(&id)?;
    let deleted = service.repositories().agent_states().delete(caller.user_id(), agent_id).await;
    let deleted = deleted.map_err(|error| ApiError::of_repository(&error, None))?;
    Ok(Stored::ok(Durability::Durable, DeletedState { agent_id, deleted }))
}

/// The agent that speaks in a conversation, with its state where there is one.
#[utoipa::path(
    get, path = "/v1/conversations/{conversation_id}/agent", tag = "hosts",
    params(ConversationPath),
    responses((status = 200, description = "the agent", body = ConversationAgent, headers(("ETag" = String))), NotFound, Refusal),
)]
pub(super) async fn get_conversation_agent(
    State(service): State<Service>,
    caller: Caller,
    PathText(id): PathText,
) -> Result<Response, ApiError> {
    let user_id = caller.user_id();
    let name = ConversationName::of_path(user_id, &id)?;
    let failed = |error: RepositoryError| ApiError::of_repository(&error, Some(&name.shown));
    let repositories = service.repositories();
    let conversation = repositories.conversations().get(user_id, name.id).await.map_err(failed)?;
    let conversation = conversation.ok_or_else(|| name.not_found())?;
    let state = repositories.agent_states().get_by_conversation(user_id, name.id).await.map_err(failed)?;
    if state.is_none() && conversation.state_revision > 0 {
        // It is deleted, or the whole conversation was between the two reads: then there is no agent either.
        let head = repositories.conversations().head(user_id, name.id).await.map_err(failed)?;
        head.ok_or_else(|| name.not_found())?;
    }
    // Read after the conversation: where both changed meanwhile, the state's own revision is the later.
    let revision = state.as_ref().map_or(conversation.state_revision, |state| state.revision);
    let body = ConversationAgent {
        conversation_id: name.shown,
        agent_id: conversation.agent_id,
        revision,
        state: state.map(StoredAgentState::from),
    };
    Ok(tagged(revision, conversation.durability, body))
}

fn agent_id(text: &str) -> Result<AgentId, ApiError> {
    text.parse().map_err(|error: lcs_domain::id::InvalidId| {
        ApiError::new(StatusCode::BAD_REQUEST, "Invalid agent ID format", error.to_string())
    })
}

fn not_found() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "Agent state not found", "The agent has no state")
}

fn tagged<T: Serialize>(revision: u64, durability: Durability, body: T) -> Response {
    let tag = HeaderValue::try_from(format!("\"{revision}\"")).ok().map(|tag| [(ETAG, tag)]);
    (tag, Stored::ok(durability, body)).into_response()
}

/// The revision that the caller's state was made from.
fn expected_revision(headers: &HeaderMap) -> Result<u64, ApiError> {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default().trim());
    match (text(IF_MATCH), text(IF_NONE_MATCH)) {
        (Some(tag), None) => {
            let number = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            number.and_then(|number| number.parse().ok()).ok_or_else(|| {
                let cause = "If-Match holds no ETag of this service: send the one that came with the state";
                ApiError::new(StatusCode::PRECONDITION_FAILED, "The agent's state has changed", cause)
            })
        }
        (None, Some("*")) => Ok(0),
        _ => Err(ApiError::new(
            StatusCode::PRECONDITION_REQUIRED,
            "Precondition required",
            "send If-Match with the state's ETag, or If-None-Match: * for the first state",
        )),
    }
}
