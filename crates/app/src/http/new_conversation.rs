//! Making conversations, for hosts that call their own model.

use axum::extract::State;
use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};
use lcs_domain::{AgentId, Conversation, ConversationId, Metadata, NewConversation, Text};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::answer::Stored;
use super::conversation_id::ConversationName;
use super::document::Documents;
use super::error::ApiError;
use super::idempotency::{IdempotencyHeader, idempotency_key};
use super::json_object::JsonObject;
use super::refusal::{Conflict, Refusal};
use super::service::{Caller, Service};
use super::validation::Fields;

/// A conversation to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "it describes the body, which is read field by field")]
#[serde(deny_unknown_fields)]
pub(super) struct CreateConversation {
    /// The id that another system knows it by, 48 hexadecimal digits with or without `conv_` before them.
    #[schema(pattern = r"^(conv_)?[0-9A-Fa-f]{48}$")]
    conversation_id: Option<String>,
    /// The model that it begins with; the service's first one where nothing is said.
    #[schema(min_length = 1, max_length = 512, examples("gpt-4o-mini"))]
    model_id: Option<String>,
    /// The system prompt that it begins with.
    system_prompt: Option<String>,
    /// What it is about.
    #[schema(max_length = 16384)]
    topic_summary: Option<String>,
    /// What to note beside it.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Value>,
}

/// A conversation as it is stored.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StoredConversation {
    /// The conversation: as the system calls it that it came from, else by its UUID.
    conversation_id: String,
    /// The agent that speaks in it.
    #[schema(value_type = Uuid)]
    agent_id: AgentId,
    /// The model that it began with.
    model_id: String,
    /// The system prompt that it began with.
    system_prompt: Option<String>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
    /// `active` or `archived`.
    status: &'static str,
    /// What is noted beside it.
    #[schema(value_type = Object)]
    metadata: Metadata,
    /// How many turns it has.
    turn_count: u32,
    /// The last revision that its agent's state was given; 0 where it never had one.
    state_revision: u64,
    /// What it is about.
    topic_summary: Option<String>,
}

impl StoredConversation {
    fn of(conversation: Conversation) -> Self {
        let id = conversation.conversation_id.to_string();
        Self {
            conversation_id: conversation.external_id.map_or(id, |id| id.to_string()),
            agent_id: conversation.agent_id,
            model_id: conversation.model_id.to_string(),
            system_prompt: conversation.system_prompt.map(|prompt| prompt.to_string()),
            created_at: conversation.created_at,
            updated_at: conversation.updated_at,
            status: conversation.status.as_str(),
            metadata: conversation.metadata,
            turn_count: conversation.turn_count,
            state_revision: conversation.state_revision,
            topic_summary: conversation.topic_summary.map(|topic| topic.to_string()),
        }
    }
}

/// Makes a conversation. With an `Idempotency-Key` it can be sent again: it is made once.
#[utoipa::path(
    post, path = "/v1/conversations", tag = "hosts",
    params(IdempotencyHeader),
    request_body = CreateConversation,
    responses((status = 201, description = "the conversation", body = StoredConversation), Conflict, Refusal),
)]
pub(super) async fn create_conversation(
    State(service): State<Service>,
    caller: Caller,
    headers: HeaderMap,
    body: JsonObject,
) -> Result<Stored<StoredConversation>, ApiError> {
    let user_id = caller.user_id();
    let key = idempotency_key(&headers)?;
    let mut fields = Fields::of_body(&body.object);
    let name = fields.text("conversation_id").and_then(|text| {
        let name = ConversationName::parse(user_id, text).filter(|name| name.external_id.is_some());
        if name.is_none() {
            let reason = "write 48 hexadecimal digits, or leave it out: the service makes all other ids";
            fields.value_error("conversation_id", reason, &text.into());
        }
        name
    });
    let model_id = text_of(&mut fields, "model_id", Text::name);
    let system_prompt = text_of(&mut fields, "system_prompt", Text::prompt);
    let topic_summary = text_of(&mut fields, "topic_summary", Text::summary);
    fields.object_document("metadata");
    fields.end()?;
    let metadata =
        Documents::of_body(&body.object, service.manager().payload_limits()).metadata("metadata")?;
    let model_id = match model_id {
        Some(model_id) => model_id,
        None => service.first_model().await?,
    };
    let (id, external_id) = match (name, key) {
        (Some(name), _) => (name.id, name.external_id),
        (None, Some(key)) => {
            (ConversationId::from_external_id(user_id, &format!("idempotency-key:{key}")), None)
        }
        (None, None) => (ConversationId::generate(), None),
    };
    let new = NewConversation {
        conversation_id: id,
        agent_id: AgentId::of_conversation(id),
        model_id,
        system_prompt,
        metadata,
        topic_summary,
        external_id,
    };
    let made = service.repositories().conversations().create(user_id, new).await;
    let made = made.map_err(|error| ApiError::of_repository(&error, None))?;
    Ok(Stored {
        status: StatusCode::CREATED,
        durability: made.durability,
        body: StoredConversation::of(made),
    })
}

/// A text of this kind, if it is one.
fn text_of(
    fields: &mut Fields<'_>,
    name: &'static str,
    kind: fn(String, &str) -> Result<Text, lcs_domain::RepositoryError>,
) -> Option<Text> {
    let text = fields.text(name)?;
    match kind(text.to_owned(), &format!("/{name}")) {
        Ok(text) => Some(text),
        Err(error) => {
            fields.value_error(name, &error.to_string(), &text.into());
            None
        }
    }
}
