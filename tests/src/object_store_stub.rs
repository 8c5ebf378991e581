//! Small servers of the protocols of S3, Google Cloud Storage and Azure Blob Storage: what a bucket answers, as far as
//! archives ask it. They take any signature that names the key, give lists an object a page, and keep everything in memory.

mod azure;
mod google;
mod s3;
mod xml;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt as _};
use http_body_util::BodyExt as _;
use tokio::net::TcpListener;

/// The only bucket that is there.
const BUCKET: &str = "bucket";
/// How many objects of a list are given at once.
const PAGE: usize = 1;
/// What a key is given for, where it is one of this machine and not of the environment.
pub const TOKEN: &str = "a-canary-of-a-token";
/// Whose key it is: the account of Azure, and the service account of Google.
pub const ACCOUNT: &str = "an-account";

/// Whose protocol it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Amazon S3.
    S3,
    /// Google Cloud Storage, by its XML interface.
    Google,
    /// Azure Blob Storage.
    Azure,
}

/// The server, until it is dropped with its runtime.
#[derive(Debug, Clone)]
pub struct ObjectStoreStub {
    address: SocketAddr,
    held: Arc<Held>,
}

/// What it holds, and how it misbehaves.
#[derive(Debug, Default)]
struct Held {
    /// By bucket and key.
    objects: Mutex<BTreeMap<String, Bytes>>,
    /// What is sent in parts and not ended yet, by the upload's name and the part's.
    uploads: Mutex<BTreeMap<String, BTreeMap<String, Bytes>>>,
    begun: AtomicU32,
    refuses: AtomicBool,
    refuses_deletes: AtomicBool,
    refused_part: AtomicU32,
    admits_anyone: AtomicBool,
    cuts_off: AtomicBool,
    resumed: AtomicU32,
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
    pub async fn start(protocol: Protocol) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("the port has an address");
        let held = Arc::<Held>::default();
        let router = Router::new().fallback(answer).with_state((protocol, Arc::clone(&held)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, held }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The objects that are there: their buckets and keys.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        locked(&self.held.objects).keys().cloned().collect()
    }

    /// What is in one of them.
    #[must_use]
    pub fn object(&self, key: &str) -> Option<Bytes> {
        locked(&self.held.objects).get(key).cloned()
    }

    /// Changes what is in one of them; `None` deletes it.
    pub fn replace(&self, key: &str, bytes: Option<Bytes>) {
        let mut objects = locked(&self.held.objects);
        match bytes {
            Some(bytes) => drop(objects.insert(key.to_owned(), bytes)),
            None => drop(objects.remove(key)),
        }
    }

    /// How many uploads in parts were begun, and neither ended nor aborted.
    #[must_use]
    pub fn uploads(&self) -> usize {
        locked(&self.held.uploads).len()
    }

    /// From now on the part of this number is refused; with 0, none.
    pub fn refuse_part(&self, number: u32) {
        self.held.refused_part.store(number, Ordering::SeqCst);
    }

    /// From now on every request is refused.
    pub fn refuse(&self) {
        self.held.refuses.store(true, Ordering::SeqCst);
    }

    /// Whether to refuse every delete, as where a rule says how long objects are kept.
    pub fn refuse_deletes(&self, whether: bool) {
        self.held.refuses_deletes.store(whether, Ordering::SeqCst);
    }

    /// From now on requests without credentials are taken.
    pub fn admit_anyone(&self) {
        self.held.admits_anyone.store(true, Ordering::SeqCst);
    }

    /// The next object that is read ends in its middle.
    pub fn cut_off(&self) {
        self.held.cuts_off.store(true, Ordering::SeqCst);
    }

    /// How often a part of an object was read.
    #[must_use]
    pub fn resumed(&self) -> u32 {
        self.held.resumed.load(Ordering::SeqCst)
    }
}

/// A request, read to its end.
struct Asked {
    method: Method,
    /// The bucket and the key.
    path: String,
    query: BTreeMap<String, String>,
    headers: HeaderMap,
    body: Bytes,
}

async fn answer(State((protocol, held)): State<(Protocol, Arc<Held>)>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let asked = Asked {
        method: parts.method,
        path: decoded(parts.uri.path().trim_matches('/')),
        query: pairs(parts.uri.query().unwrap_or_default()),
        headers: parts.headers,
        body,
    };
    match protocol {
        Protocol::S3 => s3::answer(&held, &asked),
        Protocol::Google => google::answer(&held, &asked),
        Protocol::Azure => azure::answer(&held, asked),
    }
}

/// The part of an address behind the question mark.
fn pairs(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| (name.to_owned(), decoded(value))).collect()
}

/// The text whose bytes are written with `%`.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        bytes.extend(u8::from_str_radix(hex, 16));
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn xml(text: impl Into<String>) -> Response {
    ([(header::CONTENT_TYPE, "application/xml")], text.into()).into_response()
}

/// A refusal, with what a server may say beside the code.
fn error(status: StatusCode, code: &str) -> Response {
    let said = "a canary of a message";
    (status, xml(format!("<Error><Code>{code}</Code><Message>{said}</Message></Error>"))).into_response()
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    fn bucket(&self) -> &str {
        self.path.split_once('/').map_or(self.path.as_str(), |(bucket, _)| bucket)
    }

    /// Which of so many bytes are asked for, where not all are.
    fn range(&self, of: usize) -> Option<(usize, usize)> {
        let (from, to) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        let to = to.parse::<usize>().map_or(of, |last| of.min(last.saturating_add(1)));
        let from = from.parse::<usize>().ok()?;
        (from < to).then_some((from, to))
    }
}

impl Held {
    fn is_of_part_refused(&self, number: u32) -> bool {
        number == self.refused_part.load(Ordering::SeqCst)
    }

    /// The object, or the part of it that is asked for; `None` where it is not there.
    fn read(&self, asked: &Asked) -> Option<Response> {
        let bytes = locked(&self.objects).get(&asked.path).cloned()?;
        let headers = [(header::ETAG, "\"1\""), (header::LAST_MODIFIED, "Thu, 01 Jan 2026 00:00:00 GMT")];
        if let Some((from, to)) = asked.range(bytes.len()) {
            self.resumed.fetch_add(1, Ordering::SeqCst);
            let range = format!("bytes {from}-{}/{}", to.saturating_sub(1), bytes.len());
            let part = Body::from(bytes.slice(from..to));
            let range = [(header::CONTENT_RANGE, range)];
            return Some((StatusCode::PARTIAL_CONTENT, headers, range, part).into_response());
        }
        if asked.method == Method::GET && self.cuts_off.swap(false, Ordering::SeqCst) {
            let length = [(header::CONTENT_LENGTH, bytes.len())];
            let half = bytes.slice(..bytes.len() / 2);
            let lost = async {
                // What comes before it is sent.
                tokio::task::yield_now().await;
                Err(io::Error::from(io::ErrorKind::ConnectionReset))
            };
            let body = Body::from_stream(stream::once(async { Ok(half) }).chain(stream::once(lost)));
            return Some((headers, length, body).into_response());
        }
        Some((headers, Body::from(bytes)).into_response())
    }

    /// A page of what begins with this key, by bucket and key, with how long each is; and what the next page is asked with.
    fn page(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
    ) -> (Vec<(String, usize)>, Option<String>) {
        let prefix = format!("{bucket}/{prefix}");
        let objects = locked(&self.objects);
        let mut found = objects
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix) && after.is_none_or(|after| key.as_str() > after))
            .map(|(key, bytes)| (key.clone(), bytes.len()));
        let page: Vec<_> = found.by_ref().take(PAGE).collect();
        let more = found.next().is_some();
        let next = page.last().filter(|_| more).map(|(key, _)| key.clone());
        (page, next)
    }
}

/// The key alone.
fn key(path: &str) -> &str {
    path.split_once('/').map_or("", |(_, key)| key)
}
