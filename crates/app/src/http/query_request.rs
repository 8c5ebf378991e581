//! What a query says, and what is wrong with it.

use axum::body::Bytes;
use http::StatusCode;
use lcs_domain::agent::AnswerOptions;
use lcs_domain::{Payload, PayloadLimits, RepositoryError, Text, UserId};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::conversation_id::ConversationName;
use super::error::ApiError;
use super::json_object::{JsonObject, Object};
use super::validation::Fields;

const ATTACHMENT_TYPES: [&str; 8] =
    ["alert", "api object", "configuration", "error message", "event", "image", "log", "stack trace"];
const ATTACHMENT_CONTENT_TYPES: [&str; 6] =
    ["text/plain", "application/json", "application/yaml", "application/xml", "image/jpeg", "image/png"];

/// A question to the model.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "it describes the body, which is read field by field")]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "query": "my favourite colour is teal" }))]
pub(super) struct QueryBody {
    /// The question.
    query: String,
    /// The conversation to go on with; a new one where nothing is said.
    conversation_id: Option<String>,
    /// Whose model to ask; with `model` or not at all.
    provider: Option<String>,
    /// The model to ask; with `provider` or not at all.
    model: Option<String>,
    /// The system prompt for this answer, and for a new conversation.
    system_prompt: Option<String>,
    /// What belongs to the question.
    attachments: Option<Vec<AttachmentBody>>,
    /// Use no tools.
    #[serde(default)]
    #[schema(default = false)]
    no_tools: bool,
    /// Say of a new conversation what it is about.
    #[serde(default)]
    #[schema(default = true)]
    generate_topic_summary: bool,
    /// `application/json` or `text/plain`: the form of a streamed answer.
    media_type: Option<String>,
    /// Taken for compatibility: the model's own configuration decides.
    vector_store_ids: Option<Vec<String>>,
    /// Taken for compatibility: the model's own configuration decides.
    shield_ids: Option<Vec<String>>,
    /// Taken for compatibility: the model's own configuration decides.
    #[schema(value_type = Option<Object>)]
    solr: Option<Value>,
}

/// Something that belongs to a question.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "it describes the body, which is read field by field")]
#[serde(deny_unknown_fields)]
pub(super) struct AttachmentBody {
    /// What it is: alert, api object, configuration, error message, event, image, log or stack trace.
    #[schema(examples("log"))]
    attachment_type: String,
    /// Its form: text/plain, application/json, application/yaml, application/xml, image/jpeg or image/png.
    #[schema(examples("text/plain"))]
    content_type: String,
    /// The thing itself; an image in base64.
    content: String,
}

/// The form of a streamed answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum MediaType {
    /// Events.
    #[default]
    Json,
    /// The answer's text.
    Text,
}

/// A question that is formed as it should be.
#[derive(Debug)]
pub(super) struct Query {
    /// What is asked.
    pub(super) question: String,
    /// The conversation to go on with.
    pub(super) conversation: Option<ConversationName>,
    /// The question as it is stored.
    pub(super) input_messages: Payload,
    /// What is wished for this answer.
    pub(super) options: AnswerOptions,
    /// The system prompt of a new conversation.
    pub(super) system_prompt: Option<Text>,
    /// Whether to say of a new conversation what it is about.
    pub(super) wants_topic: bool,
    /// The form of a streamed answer.
    pub(super) media_type: MediaType,
    /// What makes this request that request.
    pub(super) hash: [u8; 32],
}

impl Query {
    /// The query that a body holds.
    pub(super) fn read(user_id: UserId, body: &JsonObject) -> Result<Self, ApiError> {
        let mut fields = Fields::of_body(&body.object);
        let question = fields.required_text("query").unwrap_or_default();
        let conversation = fields.text("conversation_id").and_then(|id| {
            let name = ConversationName::parse(user_id, id);
            if name.is_none() {
                let shown: String = id.chars().take(64).collect();
                fields.value_error(
                    "conversation_id",
                    &format!("Improper conversation ID '{shown}'"),
                    &id.into(),
                );
            }
            name
        });
        let provider = fields.text("provider");
        let model = fields.text("model");
        let system_prompt = fields.text("system_prompt");
        let attachments = attachments(&mut fields);
        let no_tools = fields.flag("no_tools", false);
        let wants_topic = fields.flag("generate_topic_summary", true);
        let media_type = media_type(&mut fields);
        fields.texts("vector_store_ids");
        fields.texts("shield_ids");
        fields.object_document("solr");
        match (model, provider) {
            (Some(_), None) => fields.object_error("Provider must be specified if model is specified"),
            (None, Some(_)) => fields.object_error("Model must be specified if provider is specified"),
            _ => {}
        }
        let prompt = system_prompt.and_then(|prompt| match Text::prompt(prompt, "/system_prompt") {
            Ok(prompt) => Some(prompt),
            Err(error) => {
                fields.value_error("system_prompt", &error.to_string(), &prompt.into());
                None
            }
        });
        fields.end()?;
        let attachments = known(attachments)?;
        let mut message = json!({ "role": "user", "content": question });
        if let (Some(message), false) = (message.as_object_mut(), attachments.is_empty()) {
            message.insert("attachments".to_owned(), Value::from(attachments));
        }
        let input_messages = Payload::from_value(&json!([message]));
        let refused = |error: RepositoryError| ApiError::of_repository(&error.at("/query"), None);
        Ok(Self {
            question: question.to_owned(),
            conversation,
            input_messages: input_messages.map_err(refused)?,
            options: AnswerOptions {
                model: model.map(str::to_owned),
                provider: provider.map(str::to_owned),
                system_prompt: system_prompt.map(str::to_owned),
                no_tools,
            },
            system_prompt: prompt,
            wants_topic,
            media_type,
            hash: hash(&body.bytes),
        })
    }
}

/// Equal for bodies that are equal as JSON: a retry may be written by another serialiser. No number is rounded for it.
fn hash(body: &Bytes) -> [u8; 32] {
    let unlimited = PayloadLimits { max_bytes: usize::MAX };
    match Payload::parse_bytes(body, unlimited) {
        Ok(body) => Sha256::digest(body.as_json().as_bytes()).into(),
        // What nobody reads may hold what cannot be kept exactly.
        Err(_) => Sha256::digest(body).into(),
    }
}

fn media_type(fields: &mut Fields<'_>) -> MediaType {
    match fields.text("media_type") {
        Some("text/plain") => MediaType::Text,
        None | Some("application/json") => MediaType::Json,
        Some(other) => {
            let reason = "media_type must be either 'application/json' or 'text/plain'";
            fields.value_error("media_type", reason, &other.into());
            MediaType::Json
        }
    }
}

/// Its attachments as they are stored.
fn attachments(fields: &mut Fields<'_>) -> Vec<Value> {
    let Some(value) = fields.optional("attachments") else { return Vec::new() };
    let Some(items) = value.as_array() else {
        fields.wrong("list_type", "attachments", "Input should be a valid list", value);
        return Vec::new();
    };
    for (position, item) in items.iter().enumerate() {
        let mut place = fields.place("attachments");
        place.push(position.into());
        let Some(object) = Object::of(item) else {
            fields.wrong("model_attributes_type", "attachments", "Input should be a valid dictionary", item);
            continue;
        };
        let mut attachment = Fields::new(&object, place);
        attachment.required_text("attachment_type");
        attachment.required_text("content_type");
        attachment.required_text("content");
        fields.take(attachment.into_problems());
    }
    items.clone()
}

/// Refuses attachments of kinds that nobody knows.
fn known(attachments: Vec<Value>) -> Result<Vec<Value>, ApiError> {
    let kinds: [(&str, &str, &[&str]); 2] = [
        ("attachment_type", "type", &ATTACHMENT_TYPES),
        ("content_type", "content type", &ATTACHMENT_CONTENT_TYPES),
    ];
    for attachment in &attachments {
        for (key, what, known) in kinds {
            let value = attachment.get(key).and_then(Value::as_str).unwrap_or_default();
            if !known.contains(&value) {
                let shown: String = value.chars().take(64).collect();
                let cause = format!("Invalid attachment {what} {shown}: must be one of {}", known.join(", "));
                return Err(ApiError::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "Invalid attribute value",
                    cause,
                ));
            }
        }
    }
    Ok(attachments)
}
