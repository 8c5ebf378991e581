//! The HTTP edge: whatever is asked is answered in the contract's shape, and never as a failure of ours.

use std::cell::RefCell;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use lcs_app::PersistenceManager;
use lcs_app::configuration::{Configuration, StoreConfiguration};
use lcs_app::http::authentication::authenticator;
use lcs_app::http::{Service, guarded, router};
use serde_json::Value;
use tokio::runtime::Runtime;
use tower::ServiceExt;

/// After so many requests the store in memory is begun anew: what was stored stays in it.
const FRESH_AFTER: u32 = 1_000;

struct Api {
    runtime: Runtime,
    router: Router,
    asked: u32,
}

thread_local! {
    static API: RefCell<Option<Api>> = const { RefCell::new(None) };
}

/// The first byte says what is asked; the others are an id in the path, a query string, or a body.
pub fn check(bytes: &[u8]) {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let conversation = "018f3a5c-7d1e-7b3a-9c55-0242ac120002";
    let request = match kind % 8 {
        0 => get(&format!("/v1/conversations/{}", escaped(rest))),
        1 => get(&format!("/v2/conversations/{}/turns", escaped(rest))),
        2 => get(&format!("/v1/conversations?{}", query(rest))),
        3 => get(&format!("/v1/conversations/{conversation}/turns?{}", query(rest))),
        4 => send("PUT", &format!("/v1/conversations/{conversation}"), rest),
        5 => send("POST", "/v1/query", rest),
        6 => send("POST", "/v1/conversations", rest),
        _ => send("POST", &format!("/v1/conversations/{conversation}/turns"), rest),
    };
    let path = request.uri().to_string();
    let (status, is_json, body) = ask(request);
    assert!(!status.is_server_error(), "{path}: {status}: {}", String::from_utf8_lossy(&body));
    if is_json {
        let answer: Value = serde_json::from_slice(&body).expect("an answer that says that it is JSON is");
        assert!(status.is_success() || answer.get("detail").is_some(), "{path}: {status}: {answer}");
    }
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).expect("a request")
}

fn send(method: &str, path: &str, body: &[u8]) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    request.body(Body::from(body.to_vec())).expect("a request")
}

/// Every byte as it may stand in a path.
fn escaped(bytes: &[u8]) -> String {
    escaped_but(bytes, |_| false)
}

/// Letters, digits and what parts parameters as they are, the rest escaped.
fn query(bytes: &[u8]) -> String {
    escaped_but(bytes, |byte| byte.is_ascii_alphanumeric() || b"=&_-%+".contains(&byte))
}

fn escaped_but(bytes: &[u8], is_plain: fn(u8) -> bool) -> String {
    bytes.iter().take(512).fold(String::new(), |text, byte| match byte {
        byte if is_plain(*byte) => text + &char::from(*byte).to_string(),
        byte => text + &format!("%{byte:02x}"),
    })
}

fn ask(request: Request<Body>) -> (StatusCode, bool, Vec<u8>) {
    API.with_borrow_mut(|api| {
        if api.as_ref().is_none_or(|api| api.asked >= FRESH_AFTER) {
            *api = Some(begin());
        }
        let api = api.as_mut().expect("it was begun");
        api.asked += 1;
        api.runtime.block_on(async {
            let answer = api.router.clone().oneshot(request).await.expect("it cannot fail");
            let content_type = answer.headers().get("content-type");
            let is_json = content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
            let status = answer.status();
            let body = answer.into_body().collect().await.expect("a body").to_bytes();
            (status, is_json, body.to_vec())
        })
    })
}

fn begin() -> Api {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let router = runtime.block_on(async {
        let configuration = Configuration::new(StoreConfiguration::Memory);
        let service = configuration.service.clone();
        let authenticator = authenticator(&service.authentication).expect("nobody is asked who they are");
        let manager = PersistenceManager::initialize(configuration).await.expect("a store in memory");
        guarded(router(Service::new(manager, authenticator, None)), &service)
    });
    Api { runtime, router, asked: 0 }
}
