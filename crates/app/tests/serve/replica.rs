//! Two processes on one PostgreSQL are one service.

use lcs_storage::testing::TestPostgres;
use lcs_tests::model_stub::{Gate, ModelStub, Script};
use serde_json::json;
use tokio::time::timeout;

use crate::client::Client;
use crate::process::{CANARY, PATIENCE, Place};
use crate::stop::is_interrupted;

const TURNS: usize = 100;

/// What is said in turn `number`, and what has to be answered: three facts, then one of them is asked for.
fn turn(number: usize) -> [String; 2] {
    if number.is_multiple_of(4) {
        // Another one each time, near and far.
        let mut fact = (number * 7) % number + 1;
        fact -= usize::from(fact.is_multiple_of(4));
        [format!("what is my {CANARY}{fact}?"), format!("Your {CANARY}{fact} is {fact}.")]
    } else {
        [
            format!("my {CANARY}{number} is {number}"),
            format!("I will remember that your {CANARY}{number} is {number}."),
        ]
    }
}

/// Asserts that `client` sees these turns, wherever it looks.
async fn assert_seen(client: &Client, id: &str, said: &[[String; 2]]) {
    let count = said.len();
    for version in ["v1", "v2"] {
        assert_eq!(client.history(version, id).await, said, "{version}, turn {count}");
    }
    let turns = client.turns(id).await;
    let numbers: Vec<_> = turns.iter().map(|turn| turn["turn_number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=count as u64).collect::<Vec<_>>());
    assert!(turns.iter().all(|turn| turn["metadata"].get("lcs:interleaved").is_none()), "{turns:?}");
    let agent = client.get(&format!("/v1/conversations/{id}/agent")).await.expect(200);
    let state = &agent["state"];
    assert_eq!(
        (&agent["revision"], &state["revision"], &state["through_turn"], &state["current_state"]["turns"]),
        (&json!(count), &json!(count), &json!(count), &json!(count)),
    );
    let list = client.list().await;
    assert_eq!((list.len(), &list[0]["conversation_id"]), (1, &json!(id)));
    assert_eq!(list[0]["message_count"], count);
}

#[tokio::test]
async fn a_conversation_alternates_between_two_processes() {
    let database = TestPostgres::create().await;
    let place = Place::postgres(&database);
    let processes: [_; 2] = tokio::join!(place.serve(), place.serve()).into();
    let mut said = vec![turn(1)];
    let id = processes[1].client.begin(&said[0][0]).await;
    assert_seen(&processes[0].client, &id, &said).await;
    for number in 2..=TURNS {
        let [question, answer] = turn(number);
        // Each process tells and asks, also twice in a row.
        let here = number / 3 % 2;
        assert_eq!(processes[here].client.told(&id, &question).await, answer, "turn {number}");
        said.push([question, answer]);
        assert_seen(&processes[1 - here].client, &id, &said).await;
    }
    assert_seen(&processes[0].client, &id, &said).await;

    // Both have the agent in memory when it is deleted.
    let [first, second] = &processes;
    assert_eq!(first.client.delete(&format!("/v1/conversations/{id}")).await.expect(200)["deleted"], true);
    let gone = |version: &str| format!("/{version}/conversations/{id}");
    for path in [gone("v1"), gone("v2"), format!("{}/turns", gone("v1")), format!("{}/agent", gone("v1"))] {
        second.client.get(&path).await.expect(404);
    }
    let question = format!("what is my {CANARY}1?");
    second.client.ask(Some(&id), &question).await.expect(404);
    assert_eq!(second.client.list().await.len(), 0);
    let v2 = second.client.get("/v2/conversations").await.expect(200);
    assert_eq!(v2, json!({ "conversations": [] }));
    first.client.ask(Some(&id), &question).await.expect(404);
    for process in processes {
        process.stop().await;
    }
}

#[tokio::test]
async fn an_answer_is_stopped_from_another_process() {
    let (database, stub) = (TestPostgres::create().await, ModelStub::start().await.unwrap());
    let model = format!("model:\n  base_url: {}\n  model: stub", stub.base_url());
    let place = Place::at(database.url(), &model, &[database.password()]);
    let (asked, other) = tokio::join!(place.serve(), place.serve());
    let gate = Gate::default();
    stub.next(Script::gated(&format!("{CANARY} two three"), &gate));
    let question = format!("count, {CANARY}");
    let mut events = asked.client.stream(None, &question).await.unwrap();
    let start = events.expect("start").await;
    let id = start["conversation_id"].as_str().unwrap();
    gate.let_through(2);
    events.expect("token").await;
    events.expect("token").await;

    let interrupt = json!({ "request_id": start["request_id"] });
    let path = "/v1/streaming_query/interrupt";
    for process in [&asked, &other] {
        process.client.user("eve").post(path, &interrupt).await.expect(404);
    }
    let answer = other.client.post(path, &interrupt).await.expect(200);
    assert_eq!(answer["interrupted"], true);
    let events = timeout(PATIENCE, events.rest()).await.unwrap();
    let interrupted = json!({ "event": "interrupted", "data": { "request_id": start["request_id"] } });
    assert_eq!(events, [interrupted], "the next word waits for ever");
    for process in [&asked, &other] {
        let history = process.client.history("v1", id).await;
        assert_eq!(history, [[question.clone(), format!("{CANARY} two ")]]);
        let turns = process.client.turns(id).await;
        assert!(turns.len() == 1 && is_interrupted(&turns[0]), "{turns:?}");
    }
    let again = other.client.post(path, &interrupt).await;
    assert!(again.status == 404 || again.expect(200)["interrupted"] == false, "it has ended");
    // The conversation goes on, and the model is told what had been said.
    other.client.told(id, &format!("go on, {CANARY}")).await;
    let asked_last = stub.questions().pop().unwrap().to_string();
    assert!(asked_last.contains(&format!("{CANARY} two ")), "{asked_last}");
    asked.stop().await;
    other.stop().await;
}
