//! A small server of S3's protocol: what a bucket answers, as far as archives ask it. It takes any signature that names
//! a key, and keeps everything in memory.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt as _;
use tokio::net::TcpListener;

/// The server, until it is dropped with its runtime.
#[derive(Debug, Clone)]
pub struct ObjectStoreStub {
    address: SocketAddr,
    buckets: Arc<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    objects: Mutex<BTreeMap<String, Bytes>>,
    /// What is sent in parts and not ended yet, by the number of the upload.
    uploads: Mutex<BTreeMap<u32, BTreeMap<u32, Bytes>>>,
    begun: AtomicU32,
    refuses: AtomicBool,
    refused_part: AtomicU32,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ObjectStoreStub {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// Where no port is free.
    #[expect(clippy::expect_used, reason = "a test that has no server fails")]
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("the port has an address");
        let buckets = Arc::<Buckets>::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&buckets));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, buckets }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The objects that are there: their buckets and keys.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        locked(&self.buckets.objects).keys().cloned().collect()
    }

    /// How many uploads in parts were begun, and neither ended nor aborted.
    #[must_use]
    pub fn uploads(&self) -> usize {
        locked(&self.buckets.uploads).len()
    }

    /// From now on the part of this number is refused; with 0, none.
    pub fn refuse_part(&self, number: u32) {
        self.buckets.refused_part.store(number, Ordering::SeqCst);
    }

    /// From now on every request is refused.
    pub fn refuse(&self) {
        self.buckets.refuses.store(true, Ordering::SeqCst);
    }
}

async fn answer(State(buckets): State<Arc<Buckets>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let authorization = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let is_signed = authorization.is_some_and(|text| text.starts_with("AWS4-HMAC-SHA256 Credential=a-key/"));
    let key = parts.uri.path().trim_start_matches('/').to_owned();
    let query = Query(parts.uri.query().unwrap_or_default());
    let part = query.number("partNumber");
    let is_refused = part.is_some_and(|number| number == buckets.refused_part.load(Ordering::SeqCst));
    if !is_signed || is_refused || buckets.refuses.load(Ordering::SeqCst) {
        let refusal = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>";
        return (StatusCode::FORBIDDEN, refusal).into_response();
    }
    let upload = query.number("uploadId");
    match parts.method {
        Method::GET if query.get("list-type").is_some() => list(&buckets, &key, &query),
        Method::GET | Method::HEAD => read(&buckets, &key),
        Method::PUT => write(&buckets, key, &query, &parts.headers, body),
        Method::POST if query.get("delete").is_some() => delete_all(&buckets, &key, &body),
        Method::POST if query.get("uploads").is_some() => {
            let id = buckets.begun.fetch_add(1, Ordering::SeqCst);
            locked(&buckets.uploads).insert(id, BTreeMap::new());
            xml(format!(
                "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
            ))
        }
        Method::POST => complete(&buckets, key, upload),
        Method::DELETE => {
            match upload {
                Some(upload) => drop(locked(&buckets.uploads).remove(&upload)),
                None => drop(locked(&buckets.objects).remove(&key)),
            }
            StatusCode::NO_CONTENT.into_response()
        }
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

/// The part of an address behind the question mark.
struct Query<'a>(&'a str);

impl Query<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let pairs = self.0.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value.replace("%2F", "/"))
    }

    fn number(&self, name: &str) -> Option<u32> {
        self.get(name).and_then(|number| number.parse().ok())
    }
}

fn xml(text: impl Into<String>) -> Response {
    ([(header::CONTENT_TYPE, "application/xml")], text.into()).into_response()
}

fn read(buckets: &Buckets, key: &str) -> Response {
    let Some(bytes) = locked(&buckets.objects).get(key).cloned() else {
        return (StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>").into_response();
    };
    let headers = [(header::ETAG, "\"1\""), (header::LAST_MODIFIED, "Thu, 01 Jan 2026 00:00:00 GMT")];
    (headers, Body::from(bytes)).into_response()
}

fn write(buckets: &Buckets, key: String, query: &Query<'_>, headers: &HeaderMap, body: Bytes) -> Response {
    if let (Some(upload), Some(part)) = (query.number("uploadId"), query.number("partNumber")) {
        let mut uploads = locked(&buckets.uploads);
        let Some(parts) = uploads.get_mut(&upload) else { return no_upload() };
        parts.insert(part, body);
    } else {
        let mut objects = locked(&buckets.objects);
        if headers.contains_key(header::IF_NONE_MATCH) && objects.contains_key(&key) {
            return StatusCode::PRECONDITION_FAILED.into_response();
        }
        objects.insert(key, body);
    }
    [(header::ETAG, "\"1\"")].into_response()
}

fn no_upload() -> Response {
    (StatusCode::NOT_FOUND, "<Error><Code>NoSuchUpload</Code></Error>").into_response()
}

fn complete(buckets: &Buckets, key: String, upload: Option<u32>) -> Response {
    let parts = upload.and_then(|upload| locked(&buckets.uploads).remove(&upload));
    let Some(parts) = parts else { return no_upload() };
    let whole = parts.into_values().collect::<Vec<_>>().concat();
    locked(&buckets.objects).insert(key, whole.into());
    xml("<CompleteMultipartUploadResult><ETag>\"1\"</ETag></CompleteMultipartUploadResult>")
}

fn list(buckets: &Buckets, bucket: &str, query: &Query<'_>) -> Response {
    let bucket = bucket.trim_end_matches('/');
    let prefix = format!("{bucket}/{}", query.get("prefix").unwrap_or_default());
    let objects = locked(&buckets.objects);
    let found = objects.iter().filter(|(key, _)| key.starts_with(&prefix)).map(|(key, bytes)| {
        let key = key.split_once('/').map_or("", |(_, key)| key);
        format!(
            "<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"1\"</ETag>\
             <Size>{}</Size></Contents>",
            bytes.len()
        )
    });
    xml(format!("<ListBucketResult>{}</ListBucketResult>", found.collect::<String>()))
}

fn delete_all(buckets: &Buckets, bucket: &str, body: &[u8]) -> Response {
    let body = String::from_utf8_lossy(body);
    let keys = body.split("<Key>").skip(1).filter_map(|rest| rest.split_once("</Key>")).map(|(key, _)| key);
    let deleted = keys.map(|key| {
        locked(&buckets.objects).remove(&format!("{}/{key}", bucket.trim_end_matches('/')));
        format!("<Deleted><Key>{key}</Key></Deleted>")
    });
    let deleted: String = deleted.collect();
    xml(format!("<DeleteResult>{deleted}</DeleteResult>"))
}
