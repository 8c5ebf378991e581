//! An outage with a journal: what was acknowledged is in the database afterwards, once and in order, whoever was
//! killed meanwhile.

use lcs_storage::testing::{Shutdown, TestPostgres};
use serde_json::{Value, json};

use crate::client::Client;
use crate::outage::{Database, OPENS_AT_ONCE};
use crate::process::{CANARY, Place, Process, until};

pub(crate) const DURABILITY: &str = "Persistence-Durability";
/// Conversations that are begun in the outage.
const CONVERSATIONS: usize = 4;

/// A conversation as its client was told of it.
pub(crate) struct Told {
    pub(crate) id: String,
    pub(crate) turns: Vec<[String; 2]>,
}

impl Told {
    /// Asks once more; the answer is to be journaled.
    pub(crate) async fn go_on(&mut self, client: &Client) {
        let question = format!("{CANARY} {}", self.turns.len() + 1);
        let answer = client.ask(Some(&self.id), &question).await;
        let response = answer.expect(200)["response"].as_str().unwrap().to_owned();
        assert_eq!(answer.header(DURABILITY), "journaled");
        self.turns.push([question, response]);
    }
}

/// Begins a conversation, as soon as one is taken into the journal.
pub(crate) async fn begin(client: &Client) -> Told {
    let question = format!("{CANARY} 1");
    let mut begun = None;
    until("a new conversation is taken", async || {
        let answer = client.ask(None, &question).await;
        if answer.status == 200 {
            assert_eq!(answer.header(DURABILITY), "journaled");
            let answer = answer.json();
            let text = |key: &str| answer[key].as_str().unwrap().to_owned();
            begun =
                Some(Told { id: text("conversation_id"), turns: vec![[question.clone(), text("response")]] });
        } else {
            answer.expect_unavailable();
        }
        begun.is_some()
    })
    .await;
    begun.unwrap()
}

async fn degraded_and_ready(process: &Process) {
    let readiness = process.client.get("/readiness").await.expect(200);
    assert_eq!(readiness["overall_status"], "degraded", "{readiness}");
    assert!(readiness["reason"].as_str().unwrap().contains("in the journal: "), "{readiness}");
}

pub(crate) async fn stored_turns(database: &TestPostgres) -> usize {
    let rows = database.query("SELECT count(*)::text FROM conversation_turns").await;
    rows[0][0].as_ref().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p8_what_was_journaled_is_stored_once_through_kills_in_the_outage_and_in_the_replay() {
    let server = Database::start().await;
    let database = server.database().await;
    let place = Place::at(database.url(), OPENS_AT_ONCE, &[database.password()]);
    let process = place.serve().await;
    let known = process.client.begin(&format!("my bird is {CANARY}")).await;
    // Slow enough to be killed in the middle of it.
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
                $$ BEGIN PERFORM pg_sleep(0.3); RETURN NEW; END $$; \
                CREATE TRIGGER slow BEFORE INSERT ON conversation_turns FOR EACH ROW EXECUTE FUNCTION slow()";
    database.client().await.batch_execute(slow).await.unwrap();
    server.stop(Shutdown::Fast).await;

    let mut told = Vec::new();
    for _ in 0..CONVERSATIONS {
        told.push(begin(&process.client).await);
    }
    for told in &mut told {
        for _ in 0..4 {
            told.go_on(&process.client).await;
        }
    }
    // Of one that was there before, its turns cannot be counted now. They are taken all the same.
    let turn = json!({ "turn_id": "018f3a5c-7d1e-7b3a-9c55-0242ac120002", "input_messages": CANARY });
    let turns = format!("/v1/conversations/{known}/turns");
    for status in [201, 200] {
        let answer = process.client.post(&turns, &turn).await;
        let appended = answer.expect(status);
        assert_eq!((&appended["turn_number"], &appended["durability"]), (&json!(null), &json!("journaled")));
        assert_eq!(answer.header(DURABILITY), "journaled");
    }
    degraded_and_ready(&process).await;
    // What memory does not know is not empty, and nothing is deleted that may come back.
    process.client.get("/v1/conversations").await.expect_unavailable();
    process.client.delete(&format!("/v1/conversations/{}", told[0].id)).await.expect_unavailable();
    process.client.get(&format!("/v1/conversations/{known}")).await.expect_unavailable();
    process.client.ask(Some(&known), &format!("what is my {CANARY}?")).await.expect_unavailable();
    process.kill().await;

    let process = place.serve().await;
    degraded_and_ready(&process).await;
    for told in &mut told {
        told.go_on(&process.client).await;
        assert_eq!(process.client.history("v1", &told.id).await, told.turns);
    }
    process.kill().await;

    server.restart().await;
    let process = place.serve().await;
    until("some of it is stored", async || stored_turns(&database).await > CONVERSATIONS).await;
    process.kill().await;
    let total = 2 + told.iter().map(|told| told.turns.len()).sum::<usize>();
    assert!(stored_turns(&database).await < total, "it was killed behind the replay, not in it");

    let process = place.serve().await;
    let client = &process.client;
    until("all is well", async || client.get("/readiness").await.json()["overall_status"] == "healthy").await;
    assert_eq!(stored_turns(&database).await, total);
    for told in &told {
        assert_eq!(client.history("v1", &told.id).await, told.turns);
        let numbers = client.turns(&told.id).await.into_iter().map(|turn| turn["turn_number"].clone());
        assert_eq!(numbers.collect::<Vec<_>>(), (1..=told.turns.len()).map(|n| json!(n)).collect::<Vec<_>>());
    }
    assert_eq!(client.list().await.len(), 1 + CONVERSATIONS);
    // Sent again, it is the turn that was journaled.
    let appended = client.post(&turns, &turn).await.expect(200);
    assert_eq!((&appended["turn_number"], &appended["durability"]), (&json!(2), &json!("durable")));
    let answer = client.ask(Some(&known), &format!("what is my {CANARY}?")).await;
    assert_eq!((answer.status, answer.header(DURABILITY)), (200, "durable"));
    process.stop().await;
}

/// What a command answers that is run beside the service.
async fn run(place: &Place, arguments: &[&str]) -> String {
    let output = place.command(arguments).output().await.unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The numbers of the conflicts that there are.
pub(crate) async fn conflicts(place: &Place) -> Vec<u64> {
    let conflicts: Value =
        serde_json::from_str(&run(place, &["journal", "conflicts", "--json"]).await).unwrap();
    let conflicts = conflicts["conflicts"].as_array().unwrap().iter();
    conflicts.map(|conflict| conflict["number"].as_u64().unwrap()).collect()
}

async fn counted_conflicts(client: &Client) -> String {
    let metrics = client.get("/metrics").await.text;
    let line = metrics.lines().find(|line| line.starts_with("lcs_journal_conflicts ")).unwrap();
    line.replace("lcs_journal_conflicts ", "")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_database_refuses_is_kept_until_it_is_decided_beside_the_running_service() {
    let server = Database::start().await;
    let place = server.place(OPENS_AT_ONCE);
    let process = place.serve().await;
    let client = &process.client;
    client.begin(&format!("my bird is {CANARY}")).await;
    server.stop(Shutdown::Fast).await;
    begin(client).await;
    // Nobody can know now that there is no such conversation.
    let turn = json!({ "input_messages": CANARY });
    let appended = client.post("/v1/conversations/018f3a5c-7d1e-7b3a-9c55-0242ac120002/turns", &turn).await;
    assert_eq!(appended.expect(201)["durability"], "journaled");
    server.restart().await;
    until("it is ready", async || client.get("/readiness").await.json()["overall_status"] == "healthy").await;

    let refused = conflicts(&place).await;
    assert_eq!(refused.len(), 1);
    assert_eq!(counted_conflicts(client).await, "1");
    let doctor = run(&place, &["doctor"]).await;
    assert!(doctor.contains("append of conversation 018f3a5c-7d1e-7b3a-9c55-0242ac120002"), "{doctor}");
    // Tried again, it is refused again, under a number of its own: the service has seen it.
    run(&place, &["journal", "retry", &refused[0].to_string()]).await;
    let mut again = Vec::new();
    until("it is refused again", async || {
        again = conflicts(&place).await;
        !again.is_empty()
    })
    .await;
    assert!(again[0] > refused[0], "{again:?}");
    run(&place, &["journal", "discard", &again[0].to_string(), "--yes"]).await;
    until("it is counted no more", async || counted_conflicts(client).await == "0").await;
    process.stop().await;
}

/// What a `serve` that does not start says.
async fn refusal(place: &Place) -> String {
    let output = place.refused(&["--port", "0"]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(lines.len(), 1, "{said}");
    lines[0].to_owned()
}

#[tokio::test]
async fn a_journal_that_cannot_be_written_keeps_it_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let configuration = format!("fallback:\n  journal_path: {}", file.display());
    // Nothing listens there; it is not even asked.
    let said = refusal(&Place::at("postgres://u:hunter2@127.0.0.1:1/x", &configuration, &[])).await;
    assert!(
        said.contains("the journal cannot be used: ") && said.contains("persistence.fallback.mode: refuse"),
        "{said}"
    );
}

#[tokio::test]
async fn a_database_that_is_required_and_not_there_keeps_it_from_starting() {
    let place = Place::at("postgres://u:hunter2@127.0.0.1:1/x", "require_database_at_start: true", &[]);
    let said = refusal(&place).await;
    assert!(said.contains("the database is unavailable") && !said.contains("hunter2"), "{said}");
}
