//! What is stored of an answer: its text, its tools, and what it took.

use std::sync::Arc;

use lcs_app::responses::{ResponsesConfig, ResponsesRuntime, UNNAMED_PROVIDER};
use lcs_domain::Text;
use lcs_domain::agent::{AgentFailure, AgentRuntime, Model};
use lcs_tests::model_stub::{ModelStub, Script};
use serde_json::json;

use super::{Scene, output};

#[tokio::test]
async fn usage_is_noted_beside_the_turn() {
    let scene = Scene::begin().await;
    scene.stub.next(Script::says("Three little words"));
    let answer = scene.say("hello").await.unwrap();
    assert_eq!(output(&answer), json!({ "role": "assistant", "content": "Three little words" }));
    let turn = scene.turns().await.pop().unwrap();
    assert_eq!(turn.output_message.as_ref(), Some(&answer.output_message));
    let expected = json!({ "lcs:model": "llama3.2:3b", "lcs:provider": "ollama",
                           "lcs:input_tokens": 11, "lcs:output_tokens": 3 });
    assert_eq!(json!(turn.metadata.to_object().unwrap()), expected);
}

#[tokio::test]
async fn tools_are_kept_in_the_turn() {
    let scene = Scene::begin().await;
    let tools = [
        json!({ "type": "mcp_call", "id": "mcp_1", "name": "pods", "arguments": "{\"ns\":\"a\"}", "output": "3" }),
        json!({ "type": "reasoning", "id": "rs_1", "summary": [] }),
        json!({ "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "ask", "arguments": "{}" }),
    ];
    scene.stub.next(Script::says_with("Three pods.", &tools));
    scene.say("how many?").await.unwrap();
    let turn = scene.turns().await.pop().unwrap();
    let expected = json!({
        "role": "assistant",
        "content": "Three pods.",
        "tool_calls": [
            { "id": "mcp_1", "name": "pods", "args": { "ns": "a" }, "type": "tool_call" },
            { "id": "call_1", "name": "ask", "args": {}, "type": "tool_call" },
        ],
        "tool_results": [
            { "id": "mcp_1", "status": "success", "content": "3", "type": "tool_result", "round": 1 },
        ],
    });
    assert_eq!(turn.output_message.unwrap().to_value().unwrap(), expected);
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_understood() {
    let scene = Scene::begin().await;
    let message = json!({ "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "At once." }] });
    let body = json!({ "status": "completed", "output": [message], "usage": { "input_tokens": 1, "output_tokens": 2 } });
    scene.stub.next(Script::json(&body));
    assert_eq!(output(&scene.say("hello").await.unwrap())["content"], "At once.");
    assert_eq!(scene.turns().await[0].metadata.to_object().unwrap()["lcs:output_tokens"], 2);
}

#[tokio::test]
async fn an_answer_that_was_cut_says_so() {
    let scene = Scene::with(|config| config.max_output_bytes = 300).await;
    let delta = |text: &str| json!({ "type": "response.output_text.delta", "delta": text });
    let incomplete =
        json!({ "type": "response.incomplete", "response": { "status": "incomplete", "output": [] } });
    scene.stub.next(Script::events([delta("Half an"), incomplete]));
    let answer = scene.say("hello").await.unwrap();
    assert_eq!(output(&answer), json!({ "role": "assistant", "content": "Half an", "truncated": true }));
    // The server never stops: we do.
    scene.stub.next(Script::hangs_after(&"word ".repeat(500)));
    let answer = output(&scene.say("hello").await.unwrap());
    assert_eq!(answer["truncated"], true);
    assert!((5..50).contains(&answer["content"].as_str().unwrap().len()), "{answer}");
}

async fn runtime() -> (ModelStub, Arc<dyn AgentRuntime>) {
    let stub = ModelStub::start().await.unwrap();
    let config = ResponsesConfig::new(stub.base_url(), "stub");
    (stub, Arc::new(ResponsesRuntime::new(config).unwrap()))
}

#[tokio::test]
async fn the_configured_model_is_listed_first_and_once() {
    let model = |name: &str, provider: &str| Model { name: name.to_owned(), provider: provider.to_owned() };
    let llama =
        json!({ "id": "ollama/llama", "custom_metadata": { "model_type": "llm", "provider_id": "ollama" } });
    let ours = model("stub", UNNAMED_PROVIDER);
    for (script, expected) in [
        (Script::json(&json!({ "data": [{ "id": "stub" }] })), vec![ours.clone()]),
        (
            Script::json(&json!({ "data": [llama, { "id": "stub" }] })),
            vec![ours.clone(), model("llama", "ollama")],
        ),
        (Script::status(404, &json!({})), vec![ours.clone()]),
    ] {
        let (stub, runtime) = runtime().await;
        stub.models(script);
        assert_eq!(runtime.models().await.unwrap(), expected);
        assert_eq!(runtime.models().await.unwrap(), expected);
        assert_eq!(stub.asked().len(), 1, "the list is kept for a while");
    }
    let (stub, runtime) = runtime().await;
    for (script, failure) in [
        (Script::status(503, &json!({})), AgentFailure::Unavailable),
        (Script::status(401, &json!({})), AgentFailure::Other),
        (Script::raw("no list"), AgentFailure::Other),
    ] {
        stub.models(script);
        assert_eq!(runtime.models().await.unwrap_err().failure, failure);
    }
    stub.models(Script::json(&json!({ "data": [] })));
    assert_eq!(runtime.models().await.unwrap(), [ours], "a failure is not kept");
}

#[tokio::test]
async fn a_topic_is_one_short_line() {
    let (stub, runtime) = runtime().await;
    let model = Text::name("stub", "").unwrap();
    assert_eq!(runtime.topic(&model, "hello?").await.unwrap().as_deref(), Some("About something"));
    let asked = stub.asked().pop().unwrap().body;
    assert_eq!((&asked["stream"], &asked["store"]), (&json!(false), &json!(false)));
    assert_eq!(asked["input"][0]["content"], "hello?");
    let says = |text: &str| {
        let content = json!([{ "type": "output_text", "text": text }]);
        Script::json(&json!({ "status": "completed", "output": [{ "type": "message", "content": content }] }))
    };
    stub.topic(says("\n \"A *title*.\"\nand more"));
    assert_eq!(runtime.topic(&model, "hello?").await.unwrap().as_deref(), Some("A *title"));
    stub.topic(says(" \n"));
    assert_eq!(runtime.topic(&model, "hello?").await.unwrap(), None);
    let before = stub.asked().len();
    assert_eq!(runtime.topic(&model, " ").await.unwrap(), None);
    assert_eq!(stub.asked().len(), before, "nothing was asked");
    stub.topic(Script::status(429, &json!({})));
    assert_eq!(runtime.topic(&model, "hello?").await.unwrap_err().failure, AgentFailure::QuotaExceeded);
}
