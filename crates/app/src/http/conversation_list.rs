//! Lists of conversations, newest first: whole and in one statement, as LCS gives them, or page by page.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, TryStreamExt, stream};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use lcs_domain::{
    ConversationCursor, ConversationSummary, Durability, ListSummaries, Metadata, PageLimit, RepositoryError,
    SearchConversations, SearchQuery,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer::{DURABILITY, durability_value, iso_format, timestamp};
use super::error::ApiError;
use super::history::model_and_provider;
use super::json_stream::json_stream;
use super::parameter::Parameters;
use super::refusal::Refusal;
use super::service::{Caller, Service};

/// How many conversations are written at once.
const WRITTEN_AT_ONCE: usize = 100;

/// A user's conversations.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConversationList {
    /// The conversations, newest first.
    conversations: Vec<ListedConversation>,
    /// Where the next page goes on, `null` after the last. Only where a page was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    next_cursor: Option<NextCursor>,
}

/// Where the next page goes on; `null` after the last.
#[derive(Debug, Serialize)]
#[serde(transparent)]
struct NextCursor(Option<String>);

/// A conversation in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ListedConversation {
    /// The conversation.
    conversation_id: String,
    /// When it was begun.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was last changed.
    #[schema(format = DateTime)]
    last_message_at: String,
    /// How many turns it has.
    message_count: u32,
    /// The model of its last turn.
    last_used_model: String,
    /// Whose model that is; empty where it is not known.
    last_used_provider: String,
    /// What it is about; empty where nothing is said of it.
    topic_summary: String,
}

/// A user's conversations, as v2 shows them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConversationListV2 {
    /// The conversations, newest first.
    conversations: Vec<ListedConversationV2>,
    /// Where the next page goes on, `null` after the last. Only where a page was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    next_cursor: Option<NextCursor>,
}

/// A conversation in a list of v2.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ListedConversationV2 {
    /// The conversation.
    conversation_id: String,
    /// What it is about.
    topic_summary: Option<String>,
    /// When it was last changed, in seconds since 1970.
    last_message_timestamp: f64,
}

impl From<ConversationSummary> for ListedConversation {
    fn from(summary: ConversationSummary) -> Self {
        let notes = summary.last_turn.as_ref().and_then(|metadata: &Metadata| metadata.to_object().ok());
        let (model, provider) = model_and_provider(&notes.unwrap_or_default());
        Self {
            conversation_id: shown_id(&summary),
            created_at: iso_format(summary.created_at),
            last_message_at: iso_format(summary.updated_at),
            message_count: summary.turn_count,
            last_used_model: model.unwrap_or_else(|| summary.model_id.to_string()),
            last_used_provider: provider.unwrap_or_default(),
            topic_summary: summary.topic_summary.map(|topic| topic.to_string()).unwrap_or_default(),
        }
    }
}

impl From<ConversationSummary> for ListedConversationV2 {
    fn from(summary: ConversationSummary) -> Self {
        Self {
            conversation_id: shown_id(&summary),
            topic_summary: summary.topic_summary.as_ref().map(ToString::to_string),
            last_message_timestamp: timestamp(summary.updated_at),
        }
    }
}

/// What the conversation is called: as the system calls it that it came from.
fn shown_id(summary: &ConversationSummary) -> String {
    match &summary.external_id {
        Some(id) => id.to_string(),
        None => summary.conversation_id.to_string(),
    }
}

/// The user's conversations, newest first: all of them, or a page with `limit` and `cursor`; with `query`, a page of those that
/// have all its words.
#[utoipa::path(
    get, path = "/v1/conversations", tag = "conversations",
    params(
        ("query" = Option<String>, Query, min_length = 1, max_length = 256, description = "1 to 16 words, which the topic or a turn has to have; those in quotes one behind the other"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "how many at most; without it, all of them"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "the conversations", body = ConversationList), Refusal),
)]
pub(super) async fn list_conversations(
    State(service): State<Service>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let page = |conversations, next_cursor| ConversationList { conversations, next_cursor };
    list::<ListedConversation, _>(&service, &caller, parameters, page).await
}

/// The user's conversations, newest first: all of them, or a page with `limit` and `cursor`; with `query`, a page of those that
/// have all its words.
#[utoipa::path(
    get, path = "/v2/conversations", tag = "conversations v2",
    params(
        ("query" = Option<String>, Query, min_length = 1, max_length = 256, description = "1 to 16 words, which the topic or a turn has to have; those in quotes one behind the other"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "how many at most; without it, all of them"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses((status = 200, description = "the conversations", body = ConversationListV2), Refusal),
)]
pub(super) async fn list_conversations_v2(
    State(service): State<Service>,
    caller: Caller,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let page = |conversations, next_cursor| ConversationListV2 { conversations, next_cursor };
    list::<ListedConversationV2, _>(&service, &caller, parameters, page).await
}

async fn list<T, P: Serialize>(
    service: &Service,
    caller: &Caller,
    mut parameters: Parameters,
    page: impl FnOnce(Vec<T>, Option<NextCursor>) -> P,
) -> Result<Response, ApiError>
where
    T: From<ConversationSummary> + Serialize + Send + 'static,
{
    const NO_CURSOR: &str = "this is no cursor: send next_cursor of the page before";
    const NO_QUERY: &str = "write 1 to 16 words of letters and digits, 256 bytes at most";
    let query: Option<SearchQuery> = parameters.parsed("query", NO_QUERY);
    let limit = parameters.limit("limit").or_else(|| query.as_ref().map(|_| PageLimit::default()));
    let after: Option<ConversationCursor> = parameters.parsed("cursor", NO_CURSOR);
    if parameters.text("cursor").is_some() && limit.is_none() && parameters.text("limit").is_none() {
        parameters.problem("limit", "write limit beside cursor", "");
    }
    parameters.end()?;
    let failed = |error: RepositoryError| ApiError::of_repository(&error, None);
    let repositories = service.repositories();
    let durability = (DURABILITY.clone(), durability_value(Durability::Durable));
    if let Some(limit) = limit {
        // One more than is shown tells whether there is another page.
        let one_more = limit.get() + 1;
        let found = if let Some(query) = query {
            let search = SearchConversations { query, after, limit: one_more };
            repositories.conversations().search(caller.user_id(), search).await
        } else {
            let list = ListSummaries { after, limit: Some(one_more) };
            repositories.conversations().summaries(caller.user_id(), list).try_collect().await
        };
        let mut summaries = found.map_err(failed)?;
        let more = summaries.len() > limit.get() as usize;
        summaries.truncate(limit.get() as usize);
        let next = summaries.last().filter(|_| more).map(|last| {
            let (updated_at, conversation_id) = (last.updated_at, last.conversation_id);
            ConversationCursor { updated_at, conversation_id }.to_string()
        });
        let answer = page(summaries.into_iter().map(T::from).collect(), Some(NextCursor(next)));
        return Ok(([durability], Json(answer)).into_response());
    }
    let list = ListSummaries { after: None, limit: None };
    let mut batches = repositories
        .conversations()
        .summaries(caller.user_id(), list)
        .map_ok(T::from)
        .try_chunks(WRITTEN_AT_ONCE)
        .map_err(|error| error.1);
    // The first is read before the answer begins: what goes wrong until then has a status.
    let first = batches.next().await.transpose().map_err(failed)?;
    let batches = stream::iter(first.map(Ok)).chain(batches);
    let body = json_stream(r#"{"conversations":["#.to_owned(), batches, "]}".to_owned());
    let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(([json, durability], Body::from_stream(body)).into_response())
}
