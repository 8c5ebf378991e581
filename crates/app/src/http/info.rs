//! What the service is, and who it thinks is asking.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::error::ApiError;
use super::refusal::Refusal;
use super::service::{Caller, Service};

/// What the service is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InfoAnswer {
    /// Its name.
    #[schema(examples("lcs-persistence"))]
    name: &'static str,
    /// Its version.
    #[schema(examples("0.1.0"))]
    service_version: &'static str,
    /// The version of Llama Stack that the contract asks for; it is not asked.
    #[schema(examples("N/A"))]
    llama_stack_version: &'static str,
}

/// The models that can be asked.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelList {
    /// The models; a conversation begins with the first where nothing is said.
    models: Vec<ListedModel>,
}

/// A model that can be asked.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ListedModel {
    /// The model as Llama Stack names it.
    #[schema(examples("echo/echo"))]
    identifier: String,
    /// Taken from the contract: nothing more is known of it.
    #[schema(value_type = Object)]
    metadata: Map<String, Value>,
    /// Its kind.
    #[schema(examples("llm"))]
    api_model_type: &'static str,
    /// Whose model it is: a query's `provider`.
    #[schema(examples("echo"))]
    provider_id: String,
    /// What it is: `model`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Its name: a query's `model`.
    #[schema(examples("echo"))]
    provider_resource_id: String,
    /// Its kind.
    #[schema(examples("llm"))]
    model_type: &'static str,
}

/// Who is asking.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuthorizedAnswer {
    /// The user, as the caller wrote it.
    user_id: String,
    /// The user's name.
    #[schema(examples("lightspeed-user"))]
    username: String,
    /// What LCS says of the way that the user was found out; it skips nothing here.
    skip_userid_check: bool,
}

/// What the service is.
#[utoipa::path(
    get, path = "/v1/info", tag = "service",
    responses((status = 200, description = "what the service is", body = InfoAnswer), Refusal),
)]
pub(super) async fn info(_caller: Caller) -> Json<InfoAnswer> {
    Json(InfoAnswer {
        name: "lcs-persistence",
        service_version: env!("CARGO_PKG_VERSION"),
        llama_stack_version: "N/A",
    })
}

/// The models that can be asked.
#[utoipa::path(
    get, path = "/v1/models", tag = "service",
    responses((status = 200, description = "the models", body = ModelList), Refusal),
)]
pub(super) async fn models(
    State(service): State<Service>,
    _caller: Caller,
) -> Result<Json<ModelList>, ApiError> {
    let models = service.runtime().models().await.map_err(|error| ApiError::of_agent(&error))?;
    let listed = models.into_iter().map(|model| ListedModel {
        identifier: format!("{}/{}", model.provider, model.name),
        metadata: Map::new(),
        api_model_type: "llm",
        provider_id: model.provider,
        kind: "model",
        provider_resource_id: model.name,
        model_type: "llm",
    });
    Ok(Json(ModelList { models: listed.collect() }))
}

/// Who is asking, as the service sees it.
#[utoipa::path(
    post, path = "/authorized", tag = "service",
    responses((status = 200, description = "who is asking", body = AuthorizedAnswer), Refusal),
)]
pub(super) async fn authorized(Caller(identity): Caller) -> Json<AuthorizedAnswer> {
    Json(AuthorizedAnswer {
        user_id: identity.user,
        username: identity.username,
        skip_userid_check: identity.skip_userid_check,
    })
}
