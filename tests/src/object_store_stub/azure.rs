//! Azure Blob Storage: blobs of blocks, and deletes of many at once.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{ACCOUNT, Asked, BUCKET, Held, TOKEN, decoded, error, key, locked, pairs, xml};

/// Where a machine of Azure's asks who it is.
const MACHINE: &str = "identity";

pub(super) fn answer(held: &Held, mut asked: Asked) -> Response {
    if asked.path == MACHINE && asked.header("metadata") == Some("true") {
        return Json(json!({"access_token": TOKEN, "expires_on": "4102444800"})).into_response();
    }
    asked.path = blob(&asked.path).to_owned();
    if !is_known(asked.header("authorization"), asked.query("sig")) {
        return error(StatusCode::FORBIDDEN, "AuthenticationFailed");
    }
    if held.refuses.load(Ordering::SeqCst) {
        return error(StatusCode::FORBIDDEN, "AuthorizationFailure");
    }
    if asked.header("x-ms-version").is_none() || asked.header("date").is_none() {
        return error(StatusCode::BAD_REQUEST, "MissingRequiredHeader");
    }
    if asked.bucket() != BUCKET {
        return error(StatusCode::NOT_FOUND, "ContainerNotFound");
    }
    match (&asked.method, asked.query("comp")) {
        (&Method::GET, Some("list")) => list(held, &asked),
        (&Method::GET | &Method::HEAD, None) => {
            held.read(&asked).unwrap_or_else(|| error(StatusCode::NOT_FOUND, "BlobNotFound"))
        }
        (&Method::PUT, Some("block")) => put_block(held, &asked),
        (&Method::PUT, Some("blocklist")) => put_blocks(held, &asked),
        (&Method::PUT, None) => put(held, &asked),
        (&Method::POST, Some("batch")) => delete_all(held, &asked),
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

/// The container and the blob: an emulator's addresses begin with the account.
fn blob(path: &str) -> &str {
    path.strip_prefix(ACCOUNT).and_then(|rest| rest.strip_prefix('/')).unwrap_or(path)
}

/// Whether it is signed with the account's key, or has the machine's token or a signature in its address.
fn is_known(authorization: Option<&str>, signature: Option<&str>) -> bool {
    let is_of_account =
        |text: &str| text.strip_prefix("SharedKey ").is_some_and(|text| text.starts_with(ACCOUNT));
    authorization.is_some_and(|text| is_of_account(text) || text.strip_prefix("Bearer ") == Some(TOKEN))
        || signature == Some(TOKEN)
}

fn made() -> Response {
    (StatusCode::CREATED, [(header::ETAG, "\"1\"")]).into_response()
}

fn put(held: &Held, asked: &Asked) -> Response {
    if asked.header("x-ms-blob-type") != Some("BlockBlob") {
        return error(StatusCode::BAD_REQUEST, "MissingRequiredHeader");
    }
    let mut objects = locked(&held.objects);
    if asked.header("if-none-match") == Some("*") && objects.contains_key(&asked.path) {
        return error(StatusCode::CONFLICT, "BlobAlreadyExists");
    }
    objects.insert(asked.path.clone(), asked.body.clone());
    locked(&held.uploads).remove(&asked.path);
    made()
}

/// Blocks are nothing that can be read or listed before their list comes.
fn put_block(held: &Held, asked: &Asked) -> Response {
    let mut uploads = locked(&held.uploads);
    let blocks = uploads.entry(asked.path.clone()).or_default();
    if held.is_of_part_refused(u32::try_from(blocks.len()).map_or(0, |blocks| blocks.saturating_add(1))) {
        return error(StatusCode::FORBIDDEN, "AuthorizationPermissionMismatch");
    }
    blocks.insert(asked.query("blockid").unwrap_or_default().to_owned(), asked.body.clone());
    made()
}

fn put_blocks(held: &Held, asked: &Asked) -> Response {
    let mut blocks = locked(&held.uploads).remove(&asked.path).unwrap_or_default();
    let body = String::from_utf8_lossy(&asked.body);
    let named = body.split("<Uncommitted>").skip(1).filter_map(|rest| rest.split_once("</Uncommitted>"));
    let whole: Option<Vec<_>> = named.map(|(id, _)| blocks.remove(id)).collect();
    let Some(whole) = whole else { return error(StatusCode::BAD_REQUEST, "InvalidBlockList") };
    locked(&held.objects).insert(asked.path.clone(), whole.concat().into());
    made()
}

fn list(held: &Held, asked: &Asked) -> Response {
    let (page, next) = held.page(BUCKET, asked.query("prefix").unwrap_or_default(), asked.query("marker"));
    let found = page.iter().map(|(path, bytes)| {
        format!(
            "<Blob><Name>{}</Name><Properties><Last-Modified>Thu, 01 Jan 2026 00:00:00 GMT</Last-Modified>\
             <Etag>1</Etag><Content-Length>{bytes}</Content-Length>\
             <Content-Type>application/octet-stream</Content-Type></Properties></Blob>",
            key(path)
        )
    });
    let found: String = found.collect();
    xml(format!(
        "<EnumerationResults><Blobs>{found}</Blobs><NextMarker>{}</NextMarker></EnumerationResults>",
        next.unwrap_or_default()
    ))
}

/// A request in parts, each a request of its own, answered likewise.
fn delete_all(held: &Held, asked: &Asked) -> Response {
    const BOUNDARY: &str = "an-answer";
    let body = String::from_utf8_lossy(&asked.body);
    let answers = body.split("\r\nDELETE /").skip(1).enumerate().map(|(number, part)| {
        let address = part.split_once(' ').map_or(part, |(address, _)| address);
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        let authorization = part.lines().find_map(|line| line.strip_prefix("Authorization: "));
        let status = if !is_known(authorization, pairs(query).get("sig").map(String::as_str)) {
            StatusCode::FORBIDDEN
        } else if held.refuses_deletes.load(Ordering::SeqCst) {
            StatusCode::CONFLICT
        } else if locked(&held.objects).remove(blob(&decoded(path))).is_some() {
            StatusCode::ACCEPTED
        } else {
            StatusCode::NOT_FOUND
        };
        format!(
            "--{BOUNDARY}\r\nContent-Type: application/http\r\nContent-ID: {number}\r\n\r\n\
             HTTP/1.1 {status}\r\nx-ms-version: 2023-11-03\r\n\r\n\r\n"
        )
    });
    let answers = format!("{}--{BOUNDARY}--\r\n", answers.collect::<String>());
    let kind = format!("multipart/mixed; boundary={BOUNDARY}");
    (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, kind)], answers).into_response()
}
