//! What the service itself puts into the audit log: its starts, and whom it did not let in.

use serde_json::Value;

use crate::process::{Place, until};

const KEY: &str = "a-key-of-many-letters";

fn place() -> Place {
    Place::configured(&format!("authentication:\n  module: api-key-token\n  api_key: {KEY}"), &[KEY])
}

async fn events(place: &Place, action: &str) -> Vec<Value> {
    let output = place.command(&["audit", "list", "--json", "--action", action]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    answer["events"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_start_with_another_configuration_is_recorded_and_the_same_one_is_not() {
    let place = place();
    let arguments = ["--log-level", "debug"];
    for expected in [1, 1] {
        place.serve_with(&arguments).await.stop().await;
        assert_eq!(events(&place, "configuration_changed").await.len(), expected);
    }
    place.serve_with(&[arguments.as_slice(), &["--host", "localhost"]].concat()).await.stop().await;
    let changed = events(&place, "configuration_changed").await;
    assert_eq!(changed.len(), 2);
    assert_ne!(changed[0]["detail"], changed[1]["detail"]);
    assert!(!changed.iter().any(|event| event.to_string().contains(KEY)));
}

#[tokio::test]
async fn who_is_not_let_in_is_recorded_as_far_as_there_is_room() {
    let place = place();
    let process = place.serve().await;
    for _ in 0..25 {
        process.client.bearer("a-wrong-key").get("/v1/conversations").await.expect(401);
    }
    process.client.bearer(KEY).get("/v1/conversations").await.expect(200);
    until("ten are recorded", async || events(&place, "access_denied").await.len() == 10).await;
    let denied = events(&place, "access_denied").await;
    assert_eq!((&denied[0]["actor"], &denied[0]["outcome"]), (&"unknown".into(), &"refused".into()));
    assert_eq!(denied[0]["detail"]["status"], "401");
    let metrics = process.client.bearer(KEY).get("/metrics").await;
    let counted = "lcs_access_denied_total{status=\"401\"} 25";
    assert!(metrics.text.contains(counted), "{}", metrics.text);
    process.stop().await;
    let verified = place.command(&["audit", "verify"]).output().await.unwrap();
    assert!(verified.status.success());
}
