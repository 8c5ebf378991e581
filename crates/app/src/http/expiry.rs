//! How long a conversation is kept yet: beside LCS's answers, which take no keys of ours.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::conversation_id::ConversationName;
use super::error::ApiError;
use super::parameter::{ConversationPath, PathText};
use super::refusal::{NotFound, Refusal};
use super::service::{Caller, Service};

/// How long a conversation is kept yet.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ExpiryAnswer {
    /// The conversation, as the caller called it.
    conversation_id: String,
    /// From when on it may be removed, if nothing changes in it before. Null: the user's are kept for ever.
    expires_at: Option<DateTime<Utc>>,
}

/// From when on a conversation may be removed, if nothing changes in it before.
#[utoipa::path(
    get, path = "/v1/conversations/{conversation_id}/expiry", tag = "conversations",
    params(ConversationPath),
    responses((status = 200, description = "when it ends", body = ExpiryAnswer), NotFound, Refusal),
)]
pub(super) async fn get_expiry(
    State(service): State<Service>,
    caller: Caller,
    PathText(id): PathText,
) -> Result<Json<ExpiryAnswer>, ApiError> {
    let user_id = caller.user_id();
    let name = ConversationName::of_path(user_id, &id)?;
    let failed = |error| ApiError::of_repository(&error, Some(&name.shown));
    let found = service.repositories().conversations().get(user_id, name.id).await.map_err(failed)?;
    let conversation = found.ok_or_else(|| name.not_found())?;
    let retention = service.manager().retention();
    let expiries = retention.expiries(user_id, &[conversation]).await.map_err(failed)?;
    let expires_at = expiries.first().and_then(|expiry| expiry.unheld_until);
    Ok(Json(ExpiryAnswer { conversation_id: name.shown, expires_at }))
}
