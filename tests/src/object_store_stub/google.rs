//! What is Google's own: who may ask, the machine's token, and what says that an object must not be there yet.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{ACCOUNT, Asked, Held, TOKEN, error};

/// Where a machine of Google's asks who it is.
const MACHINE: &str = "computeMetadata/v1/instance/service-accounts/default/token";

pub(super) fn answer(held: &Held, asked: &Asked) -> Response {
    if asked.path == MACHINE && asked.header("metadata-flavor") == Some("Google") {
        return Json(json!({"access_token": TOKEN, "expires_in": 3600})).into_response();
    }
    let bearer = asked.header("authorization").and_then(|text| text.strip_prefix("Bearer "));
    let is_known = bearer.is_some_and(|text| text == TOKEN || issuer(text).is_some_and(|who| who == ACCOUNT));
    if !is_known && !held.admits_anyone.load(Ordering::SeqCst) {
        return error(StatusCode::UNAUTHORIZED, "AuthenticationRequired");
    }
    if held.refuses.load(Ordering::SeqCst) {
        return error(StatusCode::FORBIDDEN, "AccessDenied");
    }
    super::xml::answer(held, asked, asked.header("x-goog-if-generation-match") == Some("0"))
}

/// Whom a token that a key has signed is of.
fn issuer(token: &str) -> Option<String> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (_, claims) = signed.split_once('.')?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    // As long as that of the key with which the tests sign.
    let is_signed = URL_SAFE_NO_PAD.decode(signature).is_ok_and(|bytes| bytes.len() == 256);
    claims.get("iss")?.as_str().filter(|_| is_signed).map(str::to_owned)
}
