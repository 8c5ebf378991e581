//! What the model is shown of the turns before: the same by a live agent and by one that was made again.

use lcs_app::agent_manager::TurnRequest;
use lcs_domain::agent::AnswerOptions;
use lcs_domain::{AppendTurn, Clock, Metadata, NewTurn, SystemClock, TurnId};
use lcs_tests::model_stub::Script;
use serde_json::{Value, json};

use super::{Scene, asking, begin, message, request};

#[tokio::test]
async fn the_model_is_shown_the_turns_before_and_keeps_nothing_itself() {
    let scene = Scene::begin().await;
    scene.stub.next(Script::says("Hello Ada."));
    scene.say("I am Ada").await.unwrap();
    scene.say("Who am I?").await.unwrap();

    let asked = scene.stub.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_eq!(asked[1].what, "POST /v1/responses");
    assert_eq!(asked[1].authorization.as_deref(), Some("Bearer canary-key"));
    let expected = json!({
        "model": "ollama/llama3.2:3b",
        "input": [message("user", "I am Ada"), message("assistant", "Hello Ada."), message("user", "Who am I?")],
        "stream": true,
        "store": false,
    });
    assert_eq!(asked[1].body, expected);
}

#[tokio::test]
async fn an_agent_that_was_made_again_shows_the_same_as_one_that_lived() {
    let scene = Scene::with(|config| {
        config.history_turns = 6;
        config.history_max_bytes = 900;
    })
    .await;
    let mut same = 0;
    for n in 0..12 {
        // The sizes are such that now the number and now the bytes are what counts.
        let question = format!("question {n} {}", "x".repeat(n * 37 % 200));
        // Two that have not seen this conversation, or not lately: both fail, and nothing is stored.
        let fresh = scene.replica().await;
        for manager in [&fresh, &scene.manager] {
            scene.stub.next(Script::status(500, &json!({})));
            scene.say_to(manager, &question).await.unwrap_err();
        }
        scene.say(&question).await.unwrap();
        let shown: Vec<Value> = scene.stub.questions().into_iter().rev().take(3).collect();
        assert_eq!(shown[0], shown[1], "turn {n}");
        assert_eq!(shown[0], shown[2], "turn {n}");
        same += shown[0]["input"].as_array().unwrap().len();
    }
    assert!(same > 24, "there was a history to compare");
}

#[tokio::test]
async fn replicas_that_take_turns_show_the_model_one_conversation() {
    let scene = Scene::begin().await;
    let second = scene.replica().await;
    for n in 0..10 {
        let manager = if n % 2 == 0 { &scene.manager } else { &second };
        let answer = scene.say_to(manager, &format!("question {n}")).await.unwrap();
        assert_eq!(answer.turn_number, Some(n + 1));
        let input = scene.last_input();
        let input = input.as_array().unwrap();
        assert_eq!(input.len(), usize::try_from(n).unwrap() * 2 + 1, "{input:?}");
        for (turn, pair) in input.chunks(2).enumerate() {
            assert_eq!(pair[0]["content"], format!("question {turn}"));
        }
    }
}

#[tokio::test]
async fn turns_that_a_host_stored_are_shown_too() {
    let scene = Scene::begin().await;
    scene.say("one").await.unwrap();
    let payload = |value: Value| lcs_domain::Payload::from_value(&value).unwrap();
    let outputs = [Some(json!({ "role": "assistant", "content": "the host's" })), None, Some(json!(["odd"]))];
    for (n, output) in outputs.into_iter().enumerate() {
        let now = SystemClock.now();
        let input = payload(json!([message("user", &format!("host {n}"))]));
        let turn =
            NewTurn::new(TurnId::generate(), input, output.map(payload), now, now, Metadata::default());
        let append = AppendTurn {
            conversation_id: scene.conversation,
            turn: turn.unwrap(),
            expected_turn_count: None,
            agent_state: None,
        };
        scene.manager.agent_manager().add_conversation_turn(scene.user, append).await.unwrap();
    }
    scene.say("last").await.unwrap();
    let expected = json!([
        message("user", "one"),
        message("assistant", "You said: one (message 1)"),
        message("user", "host 0"),
        message("assistant", "the host's"),
        message("user", "host 1"),
        message("user", "host 2"),
        message("user", "last"),
    ]);
    assert_eq!(scene.last_input(), expected);
}

#[tokio::test]
async fn prompts_wishes_and_attachments_reach_the_model() {
    let mut scene = Scene::begin().await;
    scene.conversation = begin(&scene.manager, scene.user, Some("Be brief.")).await;
    let agents = scene.manager.agent_manager();
    let respond = async |request: TurnRequest| {
        agents.respond(scene.user, scene.conversation, request).await.unwrap();
        scene.stub.questions().pop().unwrap()
    };
    let body = respond(request("hello")).await;
    assert_eq!((&body["instructions"], body.get("tools")), (&json!("Be brief."), None));

    let wish = |text: &str| Some(text.to_owned());
    let options = AnswerOptions {
        model: wish("gpt-4o"),
        provider: wish("openai"),
        system_prompt: wish("Be long."),
        no_tools: true,
    };
    let body = respond(TurnRequest { options, ..request("hello") }).await;
    assert_eq!(body["model"], "openai/gpt-4o");
    assert_eq!((&body["instructions"], &body["tools"]), (&json!("Be long."), &json!([])));
    let metadata = scene.turns().await.pop().unwrap().metadata.to_object().unwrap();
    assert_eq!((&metadata["lcs:model"], &metadata["lcs:provider"]), (&json!("gpt-4o"), &json!("openai")));

    let log = json!({ "attachment_type": "log", "content_type": "text/plain", "content": "it broke" });
    let messages = json!([{ "role": "user", "content": "Why?", "attachments": [log] }]);
    let body = respond(asking(&messages)).await;
    let last = body["input"].as_array().unwrap().last().unwrap();
    assert_eq!(last["content"], "Why?\n\n[Attachment: log, text/plain]\nit broke");
}

#[tokio::test]
async fn a_conversation_goes_on_with_the_model_that_answered_last() {
    let scene = Scene::begin().await;
    scene.say("one").await.unwrap();
    let wish = |model: &str, provider: Option<&str>| {
        let (model, provider) = (Some(model.to_owned()), provider.map(str::to_owned));
        AnswerOptions { model, provider, ..AnswerOptions::default() }
    };
    let options = wish("gpt-4o", Some("openai"));
    let agents = scene.manager.agent_manager();
    let request = TurnRequest { options, ..request("two") };
    agents.respond(scene.user, scene.conversation, request).await.unwrap();
    let second = scene.replica().await;
    for manager in [&scene.manager, &second] {
        scene.say_to(manager, "three").await.unwrap();
        assert_eq!(scene.stub.questions().pop().unwrap()["model"], "openai/gpt-4o");
    }
    // A name alone is looked up.
    let listed = json!({ "id": "vllm/granite", "custom_metadata": { "provider_id": "vllm" } });
    scene.stub.models(Script::json(&json!({ "data": [listed] })));
    let request = TurnRequest { options: wish("granite", None), ..super::request("four") };
    scene.manager.agent_manager().respond(scene.user, scene.conversation, request).await.unwrap();
    assert_eq!(scene.stub.questions().pop().unwrap()["model"], "vllm/granite");
}
