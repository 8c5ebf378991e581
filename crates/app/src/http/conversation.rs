//! Conversations as both versions of LCS's API show them: one store behind the two.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use lcs_domain::conversation::ConversationUpdate;
use lcs_domain::{Conversation, Entity, PageLimit, RepositoryError, Text, TurnPage, TurnRange};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{DURABILITY, Stored, durability_value};
use super::conversation_id::ConversationName;
use super::error::ApiError;
use super::history::{ChatTurn, ConversationAnswer};
use super::json_object::JsonObject;
use super::json_stream::json_stream;
use super::parameter::{ConversationPath, PathText};
use super::refusal::{NotFound, Refusal};
use super::service::{Caller, Service};
use super::validation::Fields;

/// How many turns are read at once, each of which may be megabytes long.
const TURNS_AT_ONCE: u32 = 20;
/// The longest topic summary, in characters.
const MAX_TOPIC: usize = 1000;

/// What a conversation's topic summary is set to.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "it describes the body, which is read field by field")]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateConversation {
    /// What it is about.
    #[schema(min_length = 1, max_length = 1000, examples("Pods that do not start"))]
    topic_summary: String,
}

/// A topic summary that was set.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UpdatedConversation {
    /// The conversation, as the caller called it.
    conversation_id: String,
    /// Whether it was set.
    success: bool,
    /// The same in words.
    #[schema(examples("Topic summary updated successfully"))]
    message: String,
}

/// What a deletion came to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeletedConversation {
    /// Whether there was one.
    deleted: bool,
    /// The conversation, as the caller called it.
    conversation_id: String,
    /// The same in words.
    #[schema(examples("Conversation deleted successfully"))]
    response: String,
    /// Whether there is none now.
    success: bool,
}

/// Registers the same endpoints under both versions' paths.
macro_rules! endpoints {
    ($version:ident, $path:literal, $tag:literal) => {
        /// The endpoints of this version.
        pub(super) mod $version {
            use super::*;

            /// A conversation and its whole history.
            #[utoipa::path(
                get, path = $path, tag = $tag,
                params(ConversationPath),
                responses((status = 200, description = "the conversation", body = ConversationAnswer), NotFound, Refusal),
            )]
            pub(crate) async fn get_conversation(
                State(service): State<Service>,
                caller: Caller,
                PathText(id): PathText,
            ) -> Result<Response, ApiError> {
                show(service, caller, &id).await
            }

            /// Says what a conversation is about.
            #[utoipa::path(
                put, path = $path, tag = $tag,
                params(ConversationPath),
                request_body = UpdateConversation,
                responses((status = 200, description = "it is set", body = UpdatedConversation), NotFound, Refusal),
            )]
            pub(crate) async fn update_conversation(
                State(service): State<Service>,
                caller: Caller,
                PathText(id): PathText,
                body: JsonObject,
            ) -> Result<Stored<UpdatedConversation>, ApiError> {
                update(service, caller, &id, &body).await
            }

            /// Deletes a conversation, everywhere and for ever. One that is not there is no error.
            #[utoipa::path(
                delete, path = $path, tag = $tag,
                params(ConversationPath),
                responses((status = 200, description = "it is gone", body = DeletedConversation), Refusal),
            )]
            pub(crate) async fn delete_conversation(
                State(service): State<Service>,
                caller: Caller,
                PathText(id): PathText,
            ) -> Result<Json<DeletedConversation>, ApiError> {
                delete(service, caller, &id).await
            }
        }
    };
}

endpoints!(v1, "/v1/conversations/{conversation_id}", "conversations");
endpoints!(v2, "/v2/conversations/{conversation_id}", "conversations v2");

async fn show(service: Service, caller: Caller, id: &str) -> Result<Response, ApiError> {
    let user_id = caller.user_id();
    let name = ConversationName::of_path(user_id, id)?;
    let failed = |error: RepositoryError| ApiError::of_repository(&error, Some(&name.shown));
    let repositories = service.repositories();
    let Some(conversation) = repositories.conversations().get(user_id, name.id).await.map_err(failed)? else {
        return match service.llama_stack_history(&caller, &name).await? {
            Some(answer) => Ok(Json(answer).into_response()),
            None => Err(name.not_found()),
        };
    };
    let first = read_turns(&service, &conversation, 0).await.map_err(failed)?;
    let durability = durability_value(conversation.durability);
    let head = format!(r#"{{"conversation_id":{},"chat_history":["#, serde_json::Value::from(name.shown));
    let turns = futures_util::stream::try_unfold((Some(first), 0), move |(page, seen)| {
        let (service, conversation) = (service.clone(), conversation.clone());
        async move {
            let page = match page {
                Some(page) => page,
                None => read_turns(&service, &conversation, seen).await?,
            };
            let Some(last) = page.turns.last().map(|turn| turn.turn_number) else { return Ok(None) };
            let shown = page
                .turns
                .iter()
                .map(|turn| ChatTurn::of(turn, &conversation))
                .collect::<Result<Vec<_>, _>>()?;
            Ok::<_, RepositoryError>(Some((shown, (None, last))))
        }
    });
    let body = Body::from_stream(json_stream(head, turns, "]}".to_owned()));
    let json = HeaderValue::from_static("application/json");
    Ok(([(CONTENT_TYPE, json), (DURABILITY.clone(), durability)], body).into_response())
}

async fn read_turns(
    service: &Service,
    conversation: &Conversation,
    seen: u32,
) -> Result<TurnPage, RepositoryError> {
    let repositories = service.repositories();
    let limit = PageLimit::new(TURNS_AT_ONCE)?;
    let (user_id, id) = (conversation.user_id, conversation.conversation_id);
    let page = repositories.turns().page(user_id, id, TurnRange::After(seen), limit).await?;
    page.ok_or(RepositoryError::not_found(Entity::Conversation))
}

async fn update(
    service: Service,
    caller: Caller,
    id: &str,
    body: &JsonObject,
) -> Result<Stored<UpdatedConversation>, ApiError> {
    let user_id = caller.user_id();
    let name = ConversationName::of_path(user_id, id)?;
    let mut fields = Fields::of_body(&body.object);
    let topic = fields.required_short_text("topic_summary", MAX_TOPIC);
    let topic = topic.and_then(|topic| match Text::summary(topic, "/topic_summary") {
        Ok(topic) => Some(topic),
        Err(error) => {
            fields.value_error("topic_summary", &error.to_string(), &topic.into());
            None
        }
    });
    fields.end()?;
    let update = ConversationUpdate { topic_summary: Some(topic), ..ConversationUpdate::default() };
    let repositories = service.repositories();
    let updated = repositories.conversations().update(user_id, name.id, update).await;
    let updated = updated.map_err(|error| ApiError::of_repository(&error, Some(&name.shown)))?;
    Ok(Stored::ok(
        updated.durability,
        UpdatedConversation {
            conversation_id: name.shown,
            success: true,
            message: "Topic summary updated successfully".to_owned(),
        },
    ))
}

async fn delete(service: Service, caller: Caller, id: &str) -> Result<Json<DeletedConversation>, ApiError> {
    let user_id = caller.user_id();
    let name = ConversationName::of_path(user_id, id)?;
    // There first: what is gone here would never be asked for there again.
    let was_there = service.delete_in_llama_stack(&caller, &name).await?;
    let agents = service.manager().agent_manager();
    let ours = agents.delete_conversation(user_id, name.id).await;
    let ours = ours.map_err(|error| ApiError::of_manager(&error, Some(&name.shown)))?;
    let deleted = ours || was_there;
    let response = if deleted { "Conversation deleted successfully" } else { "Conversation not found" };
    Ok(Json(DeletedConversation {
        deleted,
        conversation_id: name.shown,
        response: response.to_owned(),
        success: true,
    }))
}
