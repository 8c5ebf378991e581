//! Erased beside services that run: no replica keeps it in memory, and no journal brings it back.

use lcs_domain::UserId;
use lcs_storage::testing::{Shutdown, TestPostgres};
use serde_json::Value;

use crate::journal::begin;
use crate::outage::{Database, OPENS_AT_ONCE};
use crate::process::{CANARY, Place, Process, until};

/// Erases all of ada's from `place`, and gives the certificate.
async fn erase(place: &Place, name: &str) -> Value {
    let file = place.file(name);
    let arguments = ["erase", "--user", "ada", "--yes", "--certificate", file.to_str().unwrap()];
    let output = place.command(&arguments).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

async fn agents_in_memory(process: &Process) -> String {
    let metrics = process.client.get("/metrics").await.text;
    let line = metrics.lines().find(|line| line.starts_with("lcs_cache_size ")).unwrap();
    line.replace("lcs_cache_size ", "")
}

async fn rows_of_ada(database: &TestPostgres) -> String {
    let ada = UserId::from_text("ada");
    let tables = ["conversations", "conversation_turns", "agent_states", "requests"];
    let counts = tables.map(|table| format!("(SELECT count(*) FROM {table} WHERE user_id = '{ada}')"));
    database.value(&format!("SELECT {}", counts.join(" + "))).await.unwrap()
}

#[tokio::test]
async fn no_replica_keeps_an_erased_agent_in_memory() {
    let database = TestPostgres::create().await;
    let place = Place::postgres(&database);
    let processes: [_; 2] = tokio::join!(place.serve(), place.serve()).into();
    let [first, second] = &processes;
    let id = first.client.begin(&format!("my bird is {CANARY}")).await;
    second.client.told(&id, &format!("what is my {CANARY}?")).await;
    first.client.told(&id, &format!("what is my {CANARY}?")).await;
    let others = second.client.user("eve").begin(&format!("my dog is {CANARY}")).await;
    for process in &processes {
        assert_ne!(agents_in_memory(process).await, "0");
    }
    let certificate = erase(&place, "certificate.json").await;
    assert_eq!(certificate["certificate"]["erased"]["turns"], 3);
    for process in &processes {
        process.client.ask(Some(&id), &format!("what is my {CANARY}?")).await.expect(404);
        process.client.get(&format!("/v1/conversations/{id}")).await.expect(404);
    }
    // Nobody asks for it any more, and it is forgotten all the same; the other user's agent is not.
    until("the first has forgotten it", async || agents_in_memory(first).await == "0").await;
    until("the second has forgotten it", async || agents_in_memory(second).await == "1").await;
    second.client.user("eve").told(&others, &format!("what is my {CANARY}?")).await;
    assert_eq!(rows_of_ada(&database).await, "0");
    for process in processes {
        process.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_journaled_before_an_erasure_is_not_replayed_and_what_others_journaled_is() {
    let server = Database::start().await;
    let database = server.database().await;
    let place = Place::at(database.url(), OPENS_AT_ONCE, &[database.password()]);
    let process = place.serve().await;
    let known = process.client.begin(&format!("my bird is {CANARY}")).await;
    server.stop(Shutdown::Fast).await;
    // Of a conversation that never reached the database, and of one that is there.
    let mut journaled = begin(&process.client).await;
    journaled.go_on(&process.client).await;
    let turn = serde_json::json!({ "input_messages": CANARY });
    process.client.post(&format!("/v1/conversations/{known}/turns"), &turn).await.expect(201);
    let eve = process.client.user("eve");
    let mut theirs = begin(&eve).await;
    theirs.go_on(&eve).await;
    process.kill().await;
    server.restart().await;
    // From another machine, which knows nothing of this journal.
    let elsewhere = Place::postgres(&database);
    let certificate = erase(&elsewhere, "certificate.json").await;
    assert_eq!(certificate["certificate"]["erased"]["conversations"], 1);
    assert_eq!(certificate["certificate"]["journals"]["entries"], 0);

    let process = place.serve().await;
    let client = &process.client;
    until("all is replayed", async || client.get("/readiness").await.json()["overall_status"] == "healthy")
        .await;
    assert_eq!(rows_of_ada(&database).await, "0");
    assert_eq!(client.list().await.len(), 0);
    client.get(&format!("/v1/conversations/{}", journaled.id)).await.expect(404);
    assert_eq!(process.client.user("eve").history("v1", &theirs.id).await, theirs.turns);
    let metrics = client.get("/metrics").await.text;
    assert!(metrics.contains("lcs_journal_conflicts 0"), "{metrics}");
    // Ada begins anew, also by way of the journal.
    let anew = client.begin(&format!("my bird is {CANARY} again")).await;
    server.stop(Shutdown::Fast).await;
    let mut later = begin(client).await;
    later.go_on(client).await;
    server.restart().await;
    until("all is replayed", async || client.get("/readiness").await.json()["overall_status"] == "healthy")
        .await;
    assert_eq!(client.history("v1", &later.id).await, later.turns);
    assert_eq!(client.list().await.len(), 2, "{anew}");
    process.stop().await;
    for entry in std::fs::read_dir(place.file("lcs-persistence/journal")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let holds = bytes.windows(CANARY.len()).any(|found| found == CANARY.as_bytes());
        assert!(!holds, "{} holds what was said", path.display());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_the_journal_of_the_machine_is_erased_at_once() {
    let server = Database::start().await;
    let database = server.database().await;
    let place = Place::at(database.url(), OPENS_AT_ONCE, &[database.password()]);
    let process = place.serve().await;
    process.client.begin(&format!("my bird is {CANARY}")).await;
    server.stop(Shutdown::Fast).await;
    let mut journaled = begin(&process.client).await;
    journaled.go_on(&process.client).await;
    process.kill().await;
    server.restart().await;
    let certificate = erase(&place, "certificate.json").await;
    let entries = certificate["certificate"]["journals"]["entries"].as_u64().unwrap();
    assert!(entries >= 3, "{certificate}");
    let process = place.serve().await;
    let client = &process.client;
    until("it is ready", async || client.get("/readiness").await.json()["overall_status"] == "healthy").await;
    assert_eq!(rows_of_ada(&database).await, "0");
    process.stop().await;
}
