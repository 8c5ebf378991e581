//! What Google Cloud Storage has in common with S3.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{Asked, BUCKET, Held, error, key, locked, xml};

/// Answers who may ask. `is_new` says that the object must not be there yet.
pub(super) fn answer(held: &Held, asked: &Asked, is_new: bool) -> Response {
    if asked.bucket() != BUCKET {
        return error(StatusCode::NOT_FOUND, "NoSuchBucket");
    }
    let upload = asked.query("uploadId");
    match asked.method {
        Method::GET if asked.query("list-type") == Some("2") => list(held, asked),
        Method::GET | Method::HEAD => {
            held.read(asked).unwrap_or_else(|| error(StatusCode::NOT_FOUND, "NoSuchKey"))
        }
        Method::PUT => write(held, asked, is_new),
        Method::POST if asked.query("uploads").is_some() => {
            let id = held.begun.fetch_add(1, Ordering::SeqCst).to_string();
            locked(&held.uploads).insert(id.clone(), BTreeMap::new());
            xml(format!(
                "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
            ))
        }
        Method::POST => upload.and_then(|id| complete(held, asked, id)).unwrap_or_else(no_upload),
        Method::DELETE => match upload {
            Some(upload) => {
                locked(&held.uploads).remove(upload);
                StatusCode::NO_CONTENT.into_response()
            }
            None if held.refuses_deletes.load(Ordering::SeqCst) => {
                error(StatusCode::FORBIDDEN, "RetentionPolicyNotMet")
            }
            None if locked(&held.objects).remove(&asked.path).is_none() => {
                error(StatusCode::NOT_FOUND, "NoSuchKey")
            }
            None => StatusCode::NO_CONTENT.into_response(),
        },
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

fn write(held: &Held, asked: &Asked, is_new: bool) -> Response {
    if let (Some(upload), Some(part)) = (asked.query("uploadId"), asked.query("partNumber")) {
        let number = part.parse().unwrap_or_default();
        if held.is_of_part_refused(number) {
            return error(StatusCode::FORBIDDEN, "AccessDenied");
        }
        let mut uploads = locked(&held.uploads);
        let Some(parts) = uploads.get_mut(upload) else { return no_upload() };
        parts.insert(format!("{number:05}"), asked.body.clone());
    } else {
        let mut objects = locked(&held.objects);
        if is_new && objects.contains_key(&asked.path) {
            return error(StatusCode::PRECONDITION_FAILED, "PreconditionFailed");
        }
        objects.insert(asked.path.clone(), asked.body.clone());
    }
    [(header::ETAG, "\"1\"")].into_response()
}

fn no_upload() -> Response {
    error(StatusCode::NOT_FOUND, "NoSuchUpload")
}

fn complete(held: &Held, asked: &Asked, upload: &str) -> Option<Response> {
    let parts = locked(&held.uploads).remove(upload)?;
    let named = String::from_utf8_lossy(&asked.body).matches("<PartNumber>").count();
    if named != parts.len() {
        return Some(error(StatusCode::BAD_REQUEST, "InvalidPart"));
    }
    let whole = parts.into_values().collect::<Vec<_>>().concat();
    locked(&held.objects).insert(asked.path.clone(), whole.into());
    Some(xml("<CompleteMultipartUploadResult><ETag>\"1\"</ETag></CompleteMultipartUploadResult>"))
}

fn list(held: &Held, asked: &Asked) -> Response {
    let prefix = asked.query("prefix").unwrap_or_default();
    let (page, next) = held.page(BUCKET, prefix, asked.query("continuation-token"));
    let found = page.iter().map(|(path, bytes)| {
        format!(
            "<Contents><Key>{}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"1\"</ETag>\
             <Size>{bytes}</Size></Contents>",
            key(path)
        )
    });
    let found: String = found.collect();
    let next = next.map(|next| format!("<NextContinuationToken>{next}</NextContinuationToken>"));
    xml(format!("<ListBucketResult>{found}{}</ListBucketResult>", next.unwrap_or_default()))
}
