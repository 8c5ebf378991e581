//! What becomes of a turn whose answer does not come: nothing is stored of it, and the conversation goes on.

use std::time::Duration;

use lcs_app::agent_manager::AgentManagerError;
use lcs_domain::agent::AgentFailure;
use lcs_tests::model_stub::Script;
use serde_json::{Value, json};

use super::{KEY, MODEL, Scene, asking, message};

/// The model fails in this way, and the turn with it; and then all goes on as if it had not been asked.
async fn fails(scene: &Scene, script: Script, failure: AgentFailure, says: &str) {
    let before = scene.turns().await.len();
    let asked = scene.stub.asked().len();
    scene.stub.next(script);
    let error = scene.say("canary-question").await.unwrap_err();
    let AgentManagerError::Agent(agent) = &error else { panic!("{says}: {error:?}") };
    assert_eq!(agent.failure, failure, "{says}: {error}");
    let whole = format!("{error} {error:?}");
    assert!(whole.contains(says), "{says}: {whole}");
    assert!(!whole.contains("canary"), "{says}: {whole}");
    assert_eq!(scene.turns().await.len(), before, "{says}: nothing is stored");
    assert_eq!(scene.stub.asked().len(), asked + 1, "{says}: it was asked once");
    scene.say("again").await.unwrap();
    assert_eq!(scene.last_input().as_array().unwrap().len(), before * 2 + 1, "{says}: nothing is remembered");
}

#[tokio::test]
async fn a_refusal_is_the_failure_that_it_is() {
    let scene = Scene::begin().await;
    let told = |code: &str| json!({ "error": { "code": code, "message": format!("canary {KEY}") } });
    for (status, code, failure, says) in [
        (401, "invalid_api_key", AgentFailure::Other, "refuses the api key (401): check api_key"),
        (403, "forbidden", AgentFailure::Other, "refuses the api key (403): check api_key"),
        (404, "model_not_found", AgentFailure::ModelNotFound, "has no such model"),
        (400, "model_not_found", AgentFailure::ModelNotFound, "has no such model"),
        (400, "context_length_exceeded", AgentFailure::PromptTooLong, "longer than the model's context"),
        (413, "too_large", AgentFailure::PromptTooLong, "longer than the model's context"),
        (400, "invalid", AgentFailure::Other, "refuses the request (400)"),
        (429, "rate_limit_exceeded", AgentFailure::QuotaExceeded, "allows no more requests"),
        (500, "server_error", AgentFailure::Unavailable, "is unavailable (500)"),
        (503, "server_error", AgentFailure::Unavailable, "is unavailable (503)"),
        (307, "moved", AgentFailure::Other, "sends us elsewhere (307): check base_url"),
    ] {
        fails(&scene, Script::status(status, &told(code)), failure, says).await;
    }
}

#[tokio::test]
async fn a_broken_stream_is_the_failure_that_it_is() {
    let scene = Scene::with(|config| config.max_output_bytes = 4096).await;
    let event = |value: Value| Script::events([value]);
    let error = json!({ "code": "server_error", "message": "canary" });
    let failed = |code: &str| json!({ "status": "failed", "error": { "code": code, "message": "canary" } });
    let huge =
        format!("data: {{\"type\":\"response.x\",\"canary\":\"{}\"}}\n\n", "x".repeat(2 * 1024 * 1024));
    let endless = format!("data: {}", "canary".repeat(400_000));
    let deep = format!("data: {}{}\n\n", "[".repeat(100_000), "]".repeat(100_000));
    for (script, failure, says) in [
        (Script::breaks_after("Half of the canary"), AgentFailure::Unavailable, "in the middle"),
        (Script::ends_after("Half of the canary"), AgentFailure::Unavailable, "in the middle"),
        (Script::raw(""), AgentFailure::Unavailable, "in the middle"),
        (Script::raw("data: [DONE]\n\n"), AgentFailure::Unavailable, "in the middle"),
        (Script::raw("data: {\"canary\n\n"), AgentFailure::Other, "an event that cannot be read"),
        (Script::raw("data: \"canary\"\n\n"), AgentFailure::Other, "an event that cannot be read"),
        (Script::raw(deep), AgentFailure::Other, "an event that cannot be read"),
        (Script::raw("data: {\"type\":\"response.output_text.delta\"}\n\n"), AgentFailure::Other, "an event"),
        (Script::raw("data: {\"type\":\"response.completed\"}\n\n"), AgentFailure::Other, "an event"),
        (Script::raw(huge), AgentFailure::Other, "an event that is too large"),
        (Script::raw(endless), AgentFailure::Other, "an event that is too large"),
        (
            event(json!({ "type": "response.failed", "response": failed("rate_limit_exceeded") })),
            AgentFailure::QuotaExceeded,
            "allows no more requests",
        ),
        (
            event(json!({ "type": "response.failed", "response": failed("server_error") })),
            AgentFailure::Unavailable,
            "failed within its answer",
        ),
        (
            event(json!({ "type": "error", "code": "x", "message": "canary" })),
            AgentFailure::Other,
            "failed within",
        ),
        (event(json!({ "error": error })), AgentFailure::Unavailable, "failed within its answer"),
        (Script::json(&failed("server_error")), AgentFailure::Unavailable, "failed within its answer"),
        (Script::json(&json!({ "canary": 1 })), AgentFailure::Other, "an answer that cannot be read"),
        (Script::json(&json!("canary")), AgentFailure::Other, "an answer that cannot be read"),
    ] {
        fails(&scene, script, failure, says).await;
    }
}

#[tokio::test]
async fn a_silent_server_is_not_waited_for_longer_than_configured() {
    let scene = Scene::with(|config| config.idle_timeout = Duration::from_millis(400)).await;
    fails(&scene, Script::never(), AgentFailure::Unavailable, "did not answer within 400ms").await;
    fails(&scene, Script::hangs_after("Half of the "), AgentFailure::Unavailable, "fell silent for 400ms")
        .await;
}

#[tokio::test]
async fn a_whole_answer_has_its_time_too() {
    let scene = Scene::with(|config| config.request_timeout = Duration::from_millis(600)).await;
    fails(
        &scene,
        Script::hangs_after("Half "),
        AgentFailure::Unavailable,
        "did not finish its answer within 600ms",
    )
    .await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let scene = Scene::begin().await;
    let gone = Scene::with(|config| {
        // A port that nobody has: it was given back just now.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        config.base_url = format!("http://{free}/v1");
    })
    .await;
    let error = gone.say("hello").await.unwrap_err();
    let AgentManagerError::Agent(agent) = &error else { panic!("{error:?}") };
    assert_eq!(agent.failure, AgentFailure::Unavailable);
    assert_eq!(error.to_string(), "the agent failed: the model's server cannot be reached");
    scene.say("hello").await.unwrap();
}

#[tokio::test]
async fn an_input_that_is_none_is_refused_before_the_model_is_asked() {
    let scene = Scene::begin().await;
    for messages in
        [json!([]), json!({}), json!([{ "role": MODEL, "content": "x" }]), json!([{ "content": "x" }])]
    {
        let agents = scene.manager.agent_manager();
        let error = agents.respond(scene.user, scene.conversation, asking(&messages)).await.unwrap_err();
        let AgentManagerError::Agent(agent) = error else { panic!("{error:?}") };
        assert_eq!(agent.failure, AgentFailure::InvalidInput);
    }
    assert_eq!(scene.stub.asked(), []);
    scene.say("hello").await.unwrap();
    assert_eq!(scene.last_input(), json!([message("user", "hello")]));
}
