//! What is S3's own: who may ask, and deletes of many objects at once.

use std::sync::atomic::Ordering;

use axum::http::{Method, StatusCode};
use axum::response::Response;

use super::{Asked, BUCKET, Held, error, locked};

pub(super) fn answer(held: &Held, asked: &Asked) -> Response {
    let authorization = asked.header("authorization");
    let is_signed = authorization.is_some_and(|text| text.starts_with("AWS4-HMAC-SHA256 Credential=a-key/"));
    if !is_signed || held.refuses.load(Ordering::SeqCst) {
        return error(StatusCode::FORBIDDEN, "AccessDenied");
    }
    if asked.method == Method::POST && asked.query("delete").is_some() {
        return delete_all(held, asked);
    }
    super::xml::answer(held, asked, asked.header("if-none-match") == Some("*"))
}

fn delete_all(held: &Held, asked: &Asked) -> Response {
    if asked.bucket() != BUCKET {
        return error(StatusCode::NOT_FOUND, "NoSuchBucket");
    }
    let body = String::from_utf8_lossy(&asked.body);
    let keys = body.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>")).map(|(key, _)| key);
    let deleted = keys.map(|key| {
        if held.refuses_deletes.load(Ordering::SeqCst) {
            let said = "<Message>a canary of a message</Message>";
            return format!("<Error><Key>{key}</Key><Code>AccessDenied</Code>{said}</Error>");
        }
        locked(&held.objects).remove(&format!("{BUCKET}/{key}"));
        format!("<Deleted><Key>{key}</Key></Deleted>")
    });
    let deleted: String = deleted.collect();
    super::xml(format!("<DeleteResult>{deleted}</DeleteResult>"))
}
