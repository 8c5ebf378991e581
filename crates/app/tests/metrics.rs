//! The metrics as Prometheus meets them, held against the list of them and against its document.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use lcs_app::configuration::{Configuration, StoreConfiguration};
use lcs_app::http::authentication::authenticator;
use lcs_app::http::{Service, guarded, router};
use lcs_app::telemetry::{METRICS, MetricKind, install};
use lcs_app::{PersistenceManager, monitor_task, retention_task};
use lcs_storage::postgres::PostgresConfig;
use lcs_storage::sqlite::SqliteConfig;
use lcs_storage::testing::TestPostgres;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// A user and a text that must be in no label.
const USER: &str = "canary-user";
const SAID: &str = "canary-said";

async fn ask(router: &Router, method: &str, path: &str, body: Option<Value>) -> (StatusCode, String) {
    let separator = if path.contains('?') { '&' } else { '?' };
    let request = Request::builder()
        .method(method)
        .uri(format!("{path}{separator}user_id={USER}"))
        .header("content-type", "application/json")
        .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

/// The samples: name, labels, value.
fn samples(text: &str) -> Vec<(String, BTreeMap<String, String>, f64)> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (what, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = what.split_once('{').unwrap_or((what, ""));
            let labels = labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty());
            let labels = labels.map(|label| {
                let (name, value) = label.split_once("=\"").unwrap();
                (name.to_owned(), value.trim_end_matches('"').to_owned())
            });
            (name.to_owned(), labels.collect(), value.parse().unwrap())
        })
        .collect()
}

fn value(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let found = samples(text).into_iter().find(|(found, with, _)| {
        found == name && labels.iter().all(|(key, value)| with.get(*key).is_some_and(|found| found == value))
    });
    found.map_or(0.0, |(_, _, value)| value)
}

async fn service(store: StoreConfiguration) -> (Router, PersistenceManager) {
    let configuration = Configuration::new(store);
    let config = configuration.service.clone();
    let manager = PersistenceManager::initialize(configuration).await.unwrap();
    let service = Service::new(manager.clone(), authenticator(&config.authentication).unwrap(), None);
    (guarded(router(service), &config), manager)
}

#[tokio::test]
async fn every_metric_is_in_the_list_and_every_one_of_the_list_is_told() {
    install();
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteConfig::file(folder.path().join("conversations.sqlite"));
    let (router, manager) = service(StoreConfiguration::Sqlite(sqlite)).await;
    let (_, before) = ask(&router, "GET", "/metrics", None).await;

    let (status, answer) = ask(&router, "POST", "/v1/query", Some(json!({ "query": SAID }))).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let id = answer["conversation_id"].as_str().unwrap();
    let turn = json!({ "turn_id": "018f0000-0000-7000-8000-00000000abcd", "input_messages": SAID });
    let path = format!("/v1/conversations/{id}/turns");
    assert!(ask(&router, "POST", &path, Some(turn.clone())).await.0.is_success());
    assert!(ask(&router, "POST", &path, Some(turn)).await.0.is_success());
    let stale = json!({ "input_messages": SAID, "expected_turn_count": 9 });
    let (conflict, _) = ask(&router, "POST", &path, Some(stale)).await;
    assert!(conflict.is_client_error());
    let absent = "/v1/conversations/018f0000-0000-7000-8000-00000000dead";
    assert_eq!(ask(&router, "GET", absent, None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(ask(&router, "BREW", "/nowhere", None).await.0, StatusCode::NOT_FOUND);
    let stop = CancellationToken::new();
    let retention = tokio::spawn(retention_task::run(manager, Duration::from_millis(1), stop.clone()));
    // What SQLite does not know of itself, PostgreSQL does.
    let database = TestPostgres::migrated().await;
    let postgres =
        StoreConfiguration::Postgresql(Box::new(PostgresConfig::from_url(database.url()).unwrap()));
    let postgres = PersistenceManager::initialize(Configuration::new(postgres)).await.unwrap();
    let monitor = tokio::spawn(monitor_task::run(postgres, Duration::from_mins(1), stop.clone()));

    let text = loop {
        let (status, text) = ask(&router, "GET", "/metrics", None).await;
        assert_eq!(status, StatusCode::OK);
        let done = [("outcome", "done")];
        if value(&text, "lcs_retention_runs_total", &done) > 0.0
            && value(&text, "lcs_database_looks_total", &done) > 0.0
        {
            break text;
        }
        tokio::task::yield_now().await;
    };
    stop.cancel();
    retention.await.unwrap();
    monitor.await.unwrap();

    let listed: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
    let mut told = BTreeSet::new();
    for (name, labels, _) in samples(&text) {
        let stem = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let metric = METRICS.iter().find(|metric| {
            metric.name == name || (metric.kind == MetricKind::Histogram && stem == Some(metric.name))
        });
        let metric = metric.unwrap_or_else(|| unreachable!("{name} is not in the list"));
        assert!(text.contains(&format!("# TYPE {} {}\n", metric.name, metric.kind.as_str())), "{name}");
        let keys: Vec<&str> = labels.keys().map(String::as_str).filter(|key| *key != "le").collect();
        let mut expected = metric.labels.to_vec();
        expected.sort_unstable();
        assert_eq!(keys, expected, "{name}");
        told.insert(metric.name);
    }
    assert_eq!(told, listed);
    assert!(!text.contains(USER) && !text.contains(SAID) && !text.contains(id), "{text}");

    let rose =
        |name: &str, labels: &[(&str, &str)]| value(&text, name, labels) - value(&before, name, labels);
    assert!(rose("lcs_appends_total", &[("outcome", "appended")]) >= 2.0);
    assert!(rose("lcs_appends_total", &[("outcome", "replayed")]) >= 1.0);
    assert!(rose("lcs_appends_total", &[("outcome", "conflict")]) >= 1.0);
    assert!(rose("lcs_answers_total", &[("durability", "durable")]) >= 1.0);
    assert!(rose("lcs_cache_gets_total", &[("outcome", "miss")]) >= 1.0);
    let route = [("path", "/v1/conversations/{conversation_id}"), ("status", "404"), ("method", "GET")];
    assert!(rose("lcs_http_requests_total", &route) >= 1.0);
    let made_up = [("path", "unmatched"), ("status", "404"), ("method", "other")];
    assert!(rose("lcs_http_requests_total", &made_up) >= 1.0);
    assert!(value(&text, "lcs_database_table_bytes", &[("table", "conversation_turns")]) > 0.0);
    assert!(value(&text, "lcs_database_finding", &[("check", "size"), ("severity", "ok")]) > 0.5);
    let conflict = [("operation", "turn.append"), ("kind", "conflict")];
    assert!(rose("lcs_query_errors_total", &conflict) >= 1.0);
}

#[test]
fn the_document_lists_the_same_metrics() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/METRICS.md");
    let text = fs::read_to_string(path).unwrap();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = METRICS
        .iter()
        .map(|metric| {
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            let labels = if labels.is_empty() { "none".to_owned() } else { labels.join(", ") };
            format!("| `{}` | {} | {labels} | {} |", metric.name, metric.kind.as_str(), metric.meaning)
        })
        .collect();
    assert_eq!(rows, expected);
}
