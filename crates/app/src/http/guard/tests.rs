//! What stands before every endpoint, seen from outside.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::{get, post};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tower::ServiceExt;

use super::{Place, guarded};
use crate::captured_log::CapturedLog;
use crate::configuration::{Configuration, ServiceConfig, StoreConfiguration};

fn config() -> ServiceConfig {
    ServiceConfig {
        max_body_bytes: 10,
        max_concurrent_requests: 2,
        request_timeout: Duration::from_secs(5),
        ..Configuration::new(StoreConfiguration::Memory).service
    }
}

async fn ask(router: &Router, request: Request<Body>) -> Response<Body> {
    router.clone().oneshot(request).await.unwrap()
}

fn of(method: Method, path: &str) -> Request<Body> {
    Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
}

async fn json(response: Response<Body>) -> Value {
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn what_is_not_there_is_said_as_fastapi_says_it() {
    let router = guarded(Router::new().route("/here", get(async || "here").put(async || "put")), &config());
    let response = ask(&router, of(Method::GET, "/nowhere")).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(json(response).await, json!({"detail": "Not Found"}));
    let response = ask(&router, of(Method::POST, "/here")).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    let allowed = header(&response, "allow").unwrap();
    assert!(allowed.contains("GET") && allowed.contains("PUT") && !allowed.contains("POST"), "{allowed}");
    assert_eq!(json(response).await, json!({"detail": "Method Not Allowed"}));
}

#[tokio::test]
async fn every_answer_has_the_security_headers_and_an_id() {
    let own = [
        ("server", "canary"),
        ("cache-control", "max-age=60"),
        ("content-security-policy", "script-src 'self'"),
    ];
    let router = Router::new()
        .route("/plain", get(async || "plain"))
        .route("/own", get(async move || (own, "own")))
        .route("/panic", get(async || -> &'static str { panic!("canary") }));
    let router = guarded(router, &config());
    for (path, status) in [("/plain", 200), ("/own", 200), ("/nowhere", 404), ("/panic", 500)] {
        let response = ask(&router, of(Method::GET, path)).await;
        assert_eq!(response.status(), status);
        assert_eq!(header(&response, "x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(header(&response, "referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(header(&response, "server"), None, "{path}");
        let (caching, content) = if path == "/own" {
            ("max-age=60", "script-src 'self'")
        } else {
            ("no-store", "default-src 'none'; frame-ancestors 'none'")
        };
        assert_eq!(header(&response, "cache-control"), Some(caching), "{path}");
        assert_eq!(header(&response, "content-security-policy"), Some(content), "{path}");
        assert!(uuid::Uuid::parse_str(header(&response, "x-request-id").unwrap()).is_ok(), "{path}");
    }
}

#[tokio::test]
async fn a_panic_is_a_generic_500_and_the_next_request_is_answered() {
    let router = Router::new().route("/panic", get(async || -> &'static str { panic!("canary") }));
    let router = guarded(router.route("/here", get(async || "here")), &config());
    for _ in 0..3 {
        let response = ask(&router, of(Method::GET, "/panic")).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let expected = json!({"detail": {
            "response": "Internal server error",
            "cause": "An unexpected error occurred while processing the request."
        }});
        assert_eq!(json(response).await, expected);
    }
    assert_eq!(ask(&router, of(Method::GET, "/here")).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_callers_id_is_kept_if_it_can_stand_in_a_log_line() {
    let echo = async |headers: http::HeaderMap| headers["x-request-id"].to_str().unwrap().to_owned();
    let router = guarded(Router::new().route("/", get(echo)), &config());
    let with = |ids: &[&[u8]]| {
        let request = ids.iter().fold(Request::get("/"), |request, id| request.header("X-Request-ID", *id));
        request.body(Body::empty()).unwrap()
    };
    let longest = [b'x'; 128];
    for id in [&b"a"[..], b"{018f-3a5c}:/?", &longest] {
        let response = ask(&router, with(&[id])).await;
        assert_eq!(response.headers()["x-request-id"].as_bytes(), id);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), id);
    }
    let too_long = [b'x'; 129];
    let refused: [&[&[u8]]; 7] =
        [&[], &[b""], &[b"a b"], &[b"\xc3\xa9"], &[b"a\tb"], &[&too_long], &[b"a", b"b"]];
    for ids in refused {
        let response = ask(&router, with(ids)).await;
        let id = header(&response, "x-request-id").unwrap().to_owned();
        assert!(uuid::Uuid::parse_str(&id).is_ok(), "{id}");
        // The endpoint sees the same one.
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), id);
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_413_whether_it_says_so_or_not() {
    let router = Router::new()
        .route("/read", post(async |body: Bytes| body))
        .route("/ignore", post(async || "ignored"))
        .route(
            "/swallow",
            post(async |body: Body| body.collect().await.map_or(0, |body| body.to_bytes().len()).to_string()),
        );
    let router = guarded(router, &config());
    let told = |path: &str, length: usize| {
        Request::post(path).header("content-length", length).body(Body::from("x".repeat(length))).unwrap()
    };
    let chunked = |path: &str, length: usize| {
        let chunks = (0..length).map(|_| Ok::<_, std::io::Error>("x"));
        Request::post(path).body(Body::from_stream(futures_util::stream::iter(chunks))).unwrap()
    };
    for request in [told("/read", 10), chunked("/read", 10), chunked("/swallow", 10), chunked("/ignore", 11)]
    {
        assert_eq!(ask(&router, request).await.status(), StatusCode::OK);
    }
    for request in [told("/read", 11), told("/ignore", 11), chunked("/read", 11), chunked("/swallow", 11)] {
        let response = ask(&router, request).await;
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        let expected = json!({"detail": {
            "response": "Request body too large", "cause": "The request body is larger than 10 bytes: send less at once"
        }});
        assert_eq!(json(response).await, expected);
    }
    // The limit is the configured one, not the framework's.
    let large = ServiceConfig { max_body_bytes: 4 * 1_048_576, ..config() };
    let router = guarded(Router::new().route("/read", post(async |body: Bytes| body)), &large);
    assert_eq!(ask(&router, told("/read", 3 * 1_048_576)).await.status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn what_a_browser_asks_the_console_for_is_a_page_also_when_it_takes_too_long() {
    let operator = crate::configuration::OperatorConfig { api_keys: Vec::new() };
    let slow = || get(async || tokio::time::sleep(Duration::from_secs(6)).await);
    for (operator, path, is_page) in [
        (Some(operator.clone()), "/admin/slow", true),
        (Some(operator), "/administration", false),
        (None, "/admin/slow", false),
    ] {
        let config = ServiceConfig { operator, ..config() };
        let router = guarded(Router::new().route(path, slow()), &config);
        let response = ask(&router, of(Method::GET, path)).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(header(&response, "retry-after"), Some("1"), "{path}");
        assert_eq!(header(&response, "cache-control"), Some("no-store"), "{path}");
        let is_html = header(&response, "content-type").unwrap().starts_with("text/html");
        assert_eq!(is_html, is_page, "{path}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let said = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!(said.contains("<h1>The service did not answer in time</h1>"), is_page, "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_browser_is_told_whether_what_it_sent_may_have_been_done() {
    let operator = Some(crate::configuration::OperatorConfig { api_keys: Vec::new() });
    let config = ServiceConfig { operator, max_concurrent_requests: 1, ..config() };
    let slow = async || tokio::time::sleep(Duration::from_secs(6)).await;
    let router = Router::new().route("/admin/slow", get(slow).post(slow));
    let panics = async || -> &'static str { panic!("canary") };
    let router = guarded(router.route("/admin/panic", get(panics).post(panics)), &config);
    let said = async |method: Method, path: &str| {
        let body = ask(&router, of(method, path)).await.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    };
    let (busy, late, failed) = (
        "<h1>The service is busy</h1>",
        "<h1>The service did not answer in time</h1>",
        "<h1>Something went wrong</h1>",
    );
    for (method, done, not_done) in [
        (Method::GET, "reload the page", "reload the page"),
        (Method::POST, "It may have been done all the same. Do not reload this page", "Nothing was done: "),
    ] {
        // One after the other: the first has the only place.
        let (first, second) =
            tokio::join!(biased; said(method.clone(), "/admin/slow"), said(method.clone(), "/admin/slow"));
        assert!(first.contains(late) && first.to_lowercase().contains(&done.to_lowercase()), "{first}");
        assert!(second.contains(busy) && second.contains(not_done), "{second}");
        let panicked = said(method, "/admin/panic").await;
        assert!(panicked.contains(failed), "{panicked}");
        assert!(panicked.to_lowercase().contains(&done.to_lowercase()), "{panicked}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_takes_too_long_is_503_but_not_a_stream_that_has_begun() {
    let stream = async || {
        let chunks = futures_util::stream::unfold(0, async |sent| {
            tokio::time::sleep(Duration::from_secs(4)).await;
            (sent < 5).then_some((Ok::<_, std::io::Error>("chunk"), sent + 1))
        });
        Body::from_stream(chunks)
    };
    let router = Router::new()
        .route("/slow", get(async || tokio::time::sleep(Duration::from_secs(6)).await))
        .route("/read", post(async |body: Bytes| body))
        .route("/stream", get(stream));
    let router = guarded(router, &config());
    let unfinished = Request::post("/read")
        .body(Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>()));
    for request in [of(Method::GET, "/slow"), unfinished.unwrap()] {
        let response = ask(&router, request).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(header(&response, "retry-after"), Some("1"));
        let expected = json!({"detail": {
            "response": "Request timed out", "cause": "The request was not answered within 5 seconds"
        }});
        assert_eq!(json(response).await, expected);
    }
    let response = ask(&router, of(Method::GET, "/stream")).await;
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), 25);
}

#[tokio::test]
async fn more_requests_than_can_be_answered_are_refused_at_once_but_not_the_operators() {
    let (chunks, receiver) = mpsc::unbounded_channel::<&'static str>();
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let go_on = Arc::new(Notify::new());
    let waits = Arc::clone(&go_on);
    let stream = async move || {
        let receiver = receiver.lock().unwrap().take().unwrap();
        Body::from_stream(futures_util::stream::unfold(receiver, async |mut receiver| {
            receiver.recv().await.map(|chunk| (Ok::<_, std::io::Error>(chunk), receiver))
        }))
    };
    let router = Router::new()
        .route("/stream", get(stream))
        .route("/wait", get(async move || waits.notified().await))
        .route("/here", get(async || "here"))
        .route("/liveness", get(async || "alive"))
        .route("/readiness", get(async || "ready"))
        .route("/metrics", get(async || "metrics"));
    let router = guarded(router, &config());

    let stream = ask(&router, of(Method::GET, "/stream")).await;
    let waiting = tokio::spawn(router.clone().oneshot(of(Method::GET, "/wait")));
    // The second place is taken as soon as the task has run.
    while ask(&router, of(Method::GET, "/here")).await.status() == StatusCode::OK {
        tokio::task::yield_now().await;
    }
    let response = ask(&router, of(Method::GET, "/here")).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(header(&response, "retry-after"), Some("1"));
    let expected = json!({"detail": {
        "response": "Too busy", "cause": "The service is answering 2 requests, as many as it may: try again later"
    }});
    assert_eq!(json(response).await, expected);
    for path in ["/liveness", "/readiness", "/metrics"] {
        assert_eq!(ask(&router, of(Method::GET, path)).await.status(), StatusCode::OK, "{path}");
    }

    // A place is free again when its answer is sent, or given up, and not before.
    go_on.notify_one();
    drop(waiting.await.unwrap().unwrap());
    assert_eq!(ask(&router, of(Method::GET, "/here")).await.status(), StatusCode::OK);
    let other = ask(&router, of(Method::GET, "/here")).await;
    assert_eq!(ask(&router, of(Method::GET, "/here")).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(other);
    chunks.send("chunk").unwrap();
    drop(chunks);
    assert_eq!(stream.into_body().collect().await.unwrap().to_bytes(), "chunk");
    let both = (ask(&router, of(Method::GET, "/here")).await, ask(&router, of(Method::GET, "/here")).await);
    assert_eq!((both.0.status(), both.1.status()), (StatusCode::OK, StatusCode::OK));
}

#[tokio::test]
async fn what_callers_leave_behind_counts_until_it_is_done() {
    let go_on = Arc::new(Notify::new());
    let (waits, done) = (Arc::clone(&go_on), Arc::new(Notify::new()));
    let is_done = Arc::clone(&done);
    let leave = async move |place: Place| {
        tokio::spawn(async move {
            waits.notified().await;
            drop(place);
            is_done.notify_one();
        });
    };
    let router = Router::new().route("/leave", get(leave)).route("/here", get(async || "here"));
    let router = guarded(router, &config());
    for _ in 0..2 {
        assert_eq!(ask(&router, of(Method::GET, "/leave")).await.status(), StatusCode::OK);
    }
    assert_eq!(ask(&router, of(Method::GET, "/here")).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    go_on.notify_one();
    done.notified().await;
    assert_eq!(ask(&router, of(Method::GET, "/here")).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_request_that_its_client_gives_up_is_one_line_without_a_status_and_frees_its_place() {
    let (log, guard) = CapturedLog::begin();
    let endless = async || std::future::pending::<&'static str>().await;
    let config = ServiceConfig { max_concurrent_requests: 1, ..config() };
    let router = Router::new().route("/endless", get(endless)).route("/here", get(async || "here"));
    let router = guarded(router, &config);
    let request = Request::get("/endless").header("x-request-id", "id-1").body(Body::empty()).unwrap();
    let mut asked = Box::pin(router.clone().oneshot(request));
    assert!(futures_util::poll!(&mut asked).is_pending());
    assert_eq!(ask(&router, of(Method::GET, "/here")).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    drop(asked);
    assert_eq!(ask(&router, of(Method::GET, "/here")).await.status(), StatusCode::OK);
    drop(guard);

    let log = log.text();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("id-1")).collect();
    let [given_up] = lines[..] else { panic!("{log}") };
    assert!(given_up.contains("given up by its client") && given_up.contains("path=\"/endless\""), "{log}");
    assert!(!given_up.contains("status"), "{log}");
}

#[tokio::test]
async fn each_request_is_one_line_with_its_id_and_its_route_and_nothing_of_the_caller() {
    let (log, guard) = CapturedLog::begin();
    let stream = async || {
        Body::from_stream(futures_util::stream::once(async {
            tracing::warn!("said while streaming");
            Ok::<_, std::io::Error>("chunk")
        }))
    };
    let router = Router::new().route("/v1/conversations/{id}", get(stream));
    let router = guarded(router, &config());
    let request = Request::get("/v1/conversations/canary?user_id=canary").header("x-request-id", "id-1");
    let response = ask(&router, request.body(Body::empty()).unwrap()).await;
    assert_eq!(log.text(), "");
    response.into_body().collect().await.unwrap();
    ask(&router, Request::get("/canary").header("x-request-id", "id-2").body(Body::empty()).unwrap()).await;
    drop(guard);

    let log = log.text();
    let lines: Vec<&str> = log.lines().collect();
    let [streaming, answered, unmatched] = lines[..] else { panic!("{log}") };
    assert!(streaming.contains("request_id=\"id-1\"") && streaming.contains("said while streaming"), "{log}");
    for part in [
        "request_id=\"id-1\"",
        "method=\"GET\"",
        "path=\"/v1/conversations/{id}\"",
        "status=200",
        "duration_ms=",
    ] {
        assert!(answered.contains(part), "{part}: {log}");
    }
    assert!(unmatched.contains("request_id=\"id-2\"") && unmatched.contains("status=404"), "{log}");
    assert!(!log.contains("canary"), "{log}");
}
