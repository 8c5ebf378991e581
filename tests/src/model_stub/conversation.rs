//! The conversations of a Llama Stack: their items page by page.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{Parameters, Script, Shared, lock};

/// The most items on a page, whatever is asked for.
const PAGE: usize = 3;

#[derive(Debug, Default)]
pub(super) struct Conversations {
    kept: Mutex<BTreeMap<String, Vec<Value>>>,
    answer: Mutex<Option<Script>>,
}

impl Conversations {
    pub(super) fn keep(&self, id: &str, items: Vec<Value>) {
        lock(&self.kept).insert(id.to_owned(), items);
    }

    pub(super) fn answer(&self, script: Script) {
        *lock(&self.answer) = Some(script);
    }

    pub(super) fn has(&self, id: &str) -> bool {
        lock(&self.kept).contains_key(id)
    }
}

pub(super) async fn items(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    parameters: Parameters,
    (method, uri, headers): (Method, Uri, HeaderMap),
) -> Response {
    shared.ask(&method, &uri, &headers, Value::Null);
    let script = lock(&shared.conversations.answer).clone();
    if let Some(script) = script {
        return script.answer().await;
    }
    if !well_formed(&id) {
        return refusal(StatusCode::BAD_REQUEST);
    }
    let kept = lock(&shared.conversations.kept);
    let Some(items) = kept.get(&id) else { return refusal(StatusCode::NOT_FOUND) };
    let after = parameters
        .get("after")
        .and_then(|after| items.iter().position(|item| item.get("id").is_some_and(|id| id == after)));
    let rest: Vec<&Value> = items.iter().skip(after.map_or(0, |after| after + 1)).collect();
    let page: Vec<&Value> = rest.iter().copied().take(PAGE).collect();
    let id = |item: Option<&&Value>| item.and_then(|item| item.get("id")).cloned();
    Json(json!({
        "object": "list",
        "first_id": id(page.first()),
        "last_id": id(page.last()),
        "has_more": rest.len() > page.len(),
        "data": page,
    }))
    .into_response()
}

pub(super) async fn delete(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    (method, uri, headers): (Method, Uri, HeaderMap),
) -> Response {
    shared.ask(&method, &uri, &headers, Value::Null);
    let script = lock(&shared.conversations.answer).clone();
    if let Some(script) = script {
        return script.answer().await;
    }
    if lock(&shared.conversations.kept).remove(&id).is_none() {
        return refusal(StatusCode::NOT_FOUND);
    }
    Json(json!({ "id": id, "object": "conversation.deleted", "deleted": true })).into_response()
}

fn well_formed(id: &str) -> bool {
    let hex = id.strip_prefix("conv_");
    hex.is_some_and(|hex| hex.len() == 48 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn refusal(status: StatusCode) -> Response {
    (status, Json(json!({ "error": { "detail": { "errors": [{ "msg": "refused" }] } } }))).into_response()
}
