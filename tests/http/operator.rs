//! The operator's endpoints: there for an operator alone, and for nobody where none is configured.

use http::{Method, Request};
use lcs_app::configuration::{Configuration, StoreConfiguration};
use serde_json::json;

use crate::api::{Answer, Api};

pub(crate) const KEY: &str = "an-operators-own-key";

pub(crate) fn configured(more: &str) -> Configuration {
    let yaml = format!("persistence:\n  type: memory\n{more}");
    Configuration::from_yaml(&yaml, &|_| None).unwrap()
}

async fn with_operator() -> Api {
    Api::over(configured(&format!(
        "  authentication: {{module: api-key-token, api_key: a-users-own-key-of-length}}\n  operator: {{api_key: {KEY}}}\n"
    )))
    .await
}

async fn ask(api: &Api, path: &str, authorization: Option<&str>) -> Answer {
    let mut request = Request::builder().method(Method::GET).uri(path);
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    let request = request.body(axum::body::Body::empty()).unwrap();
    if path.starts_with("/admin") { api.send_undocumented(request).await } else { api.send(request).await }
}

#[tokio::test]
async fn without_an_operator_his_endpoints_are_not_there() {
    let api = Api::over(Configuration::new(StoreConfiguration::Memory)).await;
    let unknown = api.get("/v1/nothing-of-ours").await;
    for path in ["/v1/analytics", "/admin", "/admin/conversations", "/admin/x"] {
        for authorization in [None, Some("Bearer an-operators-own-key")] {
            let answer = ask(&api, path, authorization).await;
            assert_eq!((answer.status, &answer.text), (404, &unknown.text), "{path}");
            assert_eq!(answer.header("www-authenticate"), "");
        }
    }
}

#[tokio::test]
async fn p9_a_users_token_opens_nothing_of_the_operators() {
    let api = with_operator().await;
    let user = "Bearer a-users-own-key-of-length";
    let answer = api.send(
        Request::get("/v1/conversations")
            .header("authorization", user)
            .body(axum::body::Body::empty())
            .unwrap(),
    );
    answer.await.expect(200);
    for path in ["/v1/analytics", "/admin"] {
        for authorization in [None, Some(user), Some("Bearer x"), Some("Basic eA=="), Some("Basic eDp4")] {
            let answer = ask(&api, path, authorization).await;
            assert_eq!(answer.status, 401, "{path} {authorization:?}");
            assert!(
                !answer.text.contains("analytics") && !answer.text.contains("Figures"),
                "{}",
                answer.text
            );
            let asks: Vec<_> = answer.headers.get_all("www-authenticate").iter().collect();
            assert!(asks.iter().any(|value| value.to_str().unwrap().starts_with("Basic realm=")), "{asks:?}");
        }
    }
    // And the operator's key is no user's.
    let operator = Request::get("/v1/conversations").header("authorization", format!("Bearer {KEY}"));
    api.send(operator.body(axum::body::Body::empty()).unwrap()).await.expect(401);
}

#[tokio::test]
async fn the_operator_sees_figures_of_all_users_and_nothing_that_was_said() {
    let api = Api::over(configured(&format!("  operator: {{api_key: {KEY}}}\n"))).await;
    for user in ["ada", "eve"] {
        let path = format!("/v1/query?user_id={user}");
        api.post(&path, &json!({ "query": "my canary is yellow" })).await.expect(200);
    }
    let key = format!("Bearer {KEY}");
    let answer = ask(&api, "/v1/analytics?days=7", Some(&key)).await;
    let found = answer.expect(200);
    assert_eq!(
        (&found["analytics"]["turns"]["total"], &found["analytics"]["users"]["total"]),
        (&json!(2), &json!(2))
    );
    assert_eq!(found["analytics"]["days"].as_array().unwrap().len(), 7);
    assert_eq!(found["analytics"]["models"][0]["model"], "echo");
    assert_eq!(found["database"]["backend"], "memory");
    assert_eq!(found["cache"]["agents"], 2);
    assert!(!answer.text.contains("canary") && !answer.text.contains("yellow"), "{}", answer.text);
    for query in ["days=0", "days=367", "days=x", "days=-1"] {
        let refused = ask(&api, &format!("/v1/analytics?{query}"), Some(&key)).await.expect(422);
        assert_eq!(refused["detail"][0]["loc"], json!(["query", "days"]), "{query}");
    }
}

#[tokio::test]
async fn the_page_is_the_operators_and_keeps_to_its_policy() {
    let api = with_operator().await;
    // As a browser sends it: `operator:` and the key.
    let basic = "Basic b3BlcmF0b3I6YW4tb3BlcmF0b3JzLW93bi1rZXk=";
    let answer = ask(&api, "/admin?days=90", Some(basic)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.header("content-type").starts_with("text/html"));
    let policy = answer.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-")
            && policy.contains("frame-ancestors 'none'")
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(answer.text.contains("<h1>Figures</h1>") && answer.text.contains("the last 90 days"));
}
