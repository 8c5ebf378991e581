//! What the service says of itself.

use http::Method;
use serde_json::json;

use crate::api::Api;

#[tokio::test]
async fn it_says_who_is_asking() {
    let api = Api::memory().await;
    let answer = api.call(Method::POST, "/authorized?user_id=ada", &[]).await.expect(200);
    assert_eq!(answer, json!({ "user_id": "ada", "username": "lightspeed-user", "skip_userid_check": true }));
    let answer = api.call(Method::POST, "/authorized", &[]).await.expect(200);
    assert_eq!(answer["user_id"], "00000000-0000-0000-0000-000");
}

#[tokio::test]
async fn it_says_what_it_is_and_which_models_it_has() {
    let api = Api::memory().await;
    let info = api.get("/v1/info").await.expect(200);
    assert_eq!((&info["name"], &info["service_version"]), (&json!("lcs-persistence"), &json!("0.1.0")));
    let models = api.get("/v1/models").await.expect(200);
    assert_eq!(models["models"][0]["identifier"], "echo/echo");
    assert_eq!(models["models"][0]["model_type"], "llm");
}

#[tokio::test]
async fn it_is_alive_and_ready() {
    let api = Api::memory().await;
    assert_eq!(api.get("/liveness").await.text, r#"{"alive":true}"#);
    let readiness = api.get("/readiness").await.expect(200);
    assert_eq!((&readiness["ready"], &readiness["overall_status"]), (&json!(true), &json!("healthy")));
    assert_eq!(readiness["impacts"], json!(null));
    let providers: Vec<_> = readiness["providers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["provider_id"].as_str().unwrap())
        .collect();
    assert_eq!(providers, ["database", "migrations", "fallback"]);
}

#[tokio::test]
async fn it_serves_the_document_that_is_committed() {
    let api = Api::memory().await;
    let request = http::Request::builder().uri("/openapi.json").body(axum::body::Body::empty()).unwrap();
    let answer = api.send_undocumented(request).await;
    assert_eq!(answer.json(), serde_json::to_value(lcs_app::http::openapi()).unwrap());
    for (path, content_type) in
        [("/docs", "text/html"), ("/docs/page.js", "text/javascript"), ("/docs/page.css", "text/css")]
    {
        let request = http::Request::builder().uri(path).body(axum::body::Body::empty()).unwrap();
        let answer = api.send_undocumented(request).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.header("content-type").starts_with(content_type), "{path}");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"), "{path}");
    }
}
