//! Hearing an answer while it comes, stopping it, and going away from it.

use std::sync::{Arc, Mutex};

use lcs_app::agent_manager::{AgentManagerError, Hearing, TurnAnswer};
use lcs_domain::agent::{AnswerListener, AnswerPiece};
use lcs_tests::model_stub::{Gate, Script};
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Scene, message, output, request};

/// What has been heard, and a way to wait for it.
#[derive(Default)]
struct Ear {
    text: Mutex<String>,
    heard: Notify,
}

impl AnswerListener for Ear {
    fn hear(&self, piece: AnswerPiece) {
        if let AnswerPiece::Text(text) = piece {
            self.text.lock().unwrap().push_str(&text);
            self.heard.notify_waiters();
        }
    }
}

impl Ear {
    async fn wait_for(&self, text: &str) {
        loop {
            let heard = self.heard.notified();
            if *self.text.lock().unwrap() == text {
                return;
            }
            heard.await;
        }
    }
}

fn hearing(ear: &Arc<Ear>) -> (Hearing, CancellationToken) {
    let stop = CancellationToken::new();
    (Hearing { listener: ear.clone(), stop: stop.clone() }, stop)
}

impl Scene {
    /// The agent is asked to count, and heard.
    async fn ask(&self, hearing: Hearing) -> Result<TurnAnswer, AgentManagerError> {
        let agents = self.manager.agent_manager();
        agents.respond_heard(self.user, self.conversation, request("count"), hearing).await
    }
}

#[tokio::test]
async fn each_word_is_heard_when_it_is_said() {
    let scene = Scene::begin().await;
    let (gate, ear) = (Gate::default(), Arc::<Ear>::default());
    scene.stub.next(Script::gated("one two three", &gate));
    let (hearing, _stop) = hearing(&ear);
    let turn = scene.ask(hearing);
    let words = async {
        for so_far in ["one ", "one two ", "one two three"] {
            gate.let_through(1);
            ear.wait_for(so_far).await;
        }
    };
    let (answer, ()) = tokio::join!(turn, words);
    assert_eq!(output(&answer.unwrap()), message("assistant", "one two three"));
}

#[tokio::test]
async fn a_stopped_answer_is_stored_as_far_as_it_was_heard() {
    let scene = Scene::begin().await;
    let (gate, ear) = (Gate::default(), Arc::<Ear>::default());
    scene.stub.next(Script::gated("one two three", &gate));
    let (hearing, stop) = hearing(&ear);
    let turn = scene.ask(hearing);
    let stopping = async {
        gate.let_through(2);
        ear.wait_for("one two ").await;
        stop.cancel();
    };
    let (answer, ()) = tokio::join!(turn, stopping);
    let answer = answer.unwrap();
    assert!(answer.interrupted);
    assert_eq!(output(&answer), message("assistant", "one two "));
    let turns = scene.turns().await;
    assert!(turns.len() == 1 && turns[0].is_interrupted());
    assert_eq!(turns[0].output_message.as_ref(), Some(&answer.output_message));

    // What was said by then is known in the next turn, here and in another process.
    let second = scene.replica().await;
    for (manager, turn_number) in [(&scene.manager, 2), (&second, 3)] {
        let answer = scene.say_to(manager, "go on").await.unwrap();
        assert_eq!(answer.turn_number, Some(turn_number));
        let input = scene.last_input();
        assert_eq!(input[0], message("user", "count"));
        assert_eq!(input[1], message("assistant", "one two "));
    }
}

#[tokio::test]
async fn an_answer_that_is_stopped_before_its_first_word_is_an_empty_one() {
    let scene = Scene::begin().await;
    scene.stub.next(Script::never());
    let (hearing, stop) = hearing(&Arc::default());
    let turn = scene.ask(hearing);
    let stopping = async {
        scene.stub.wait_asked(1).await;
        stop.cancel();
    };
    let (answer, ()) = tokio::join!(turn, stopping);
    assert_eq!(output(&answer.unwrap()), message("assistant", ""));
    scene.say("go on").await.unwrap();
    // Servers do not take an empty answer.
    assert_eq!(scene.last_input(), json!([message("user", "count"), message("user", "go on")]));
}

#[tokio::test]
async fn a_caller_who_goes_away_in_the_middle_leaves_the_conversation_as_it_was() {
    let scene = Scene::begin().await;
    let (gate, ear) = (Gate::default(), Arc::<Ear>::default());
    scene.stub.next(Script::gated("one two three", &gate));
    let (hearing, _stop) = hearing(&ear);
    let turn = scene.ask(hearing);
    let gone = async {
        gate.let_through(1);
        ear.wait_for("one ").await;
    };
    tokio::select! {
        answer = turn => panic!("{answer:?}"),
        () = gone => {}
    }
    assert!(scene.turns().await.is_empty());
    let answer = scene.say("hello").await.unwrap();
    assert_eq!(answer.turn_number, Some(1));
    assert_eq!(scene.last_input(), json!([message("user", "hello")]));
}
