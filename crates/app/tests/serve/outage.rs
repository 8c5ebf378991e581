//! The database is not there yet, goes, and comes back: the process lives on, and says how it stands.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use lcs_storage::testing::{PrivateCluster, Shutdown, TestPostgres};
use serde_json::{Value, json};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::process::{CANARY, Place, until};

/// A call that finds the database gone is tried again for some seconds: let one be enough.
pub(crate) const OPENS_AT_ONCE: &str = "fallback:\n  failures_to_open: 1";
const REFUSES: &str = "fallback:\n  mode: refuse\n  failures_to_open: 1";

/// A server that a test stops and starts.
#[derive(Clone)]
pub(crate) struct Database(Arc<PrivateCluster>);

impl Database {
    pub(crate) async fn start() -> Self {
        Self(Arc::new(spawn_blocking(|| PrivateCluster::start(&[])).await.unwrap()))
    }

    pub(crate) async fn stop(&self, how: Shutdown) {
        let cluster = Arc::clone(&self.0);
        spawn_blocking(move || cluster.stop(how)).await.unwrap();
    }

    pub(crate) async fn restart(&self) {
        let cluster = Arc::clone(&self.0);
        spawn_blocking(move || cluster.restart()).await.unwrap();
    }

    /// A database of its own on the server.
    pub(crate) async fn database(&self) -> TestPostgres {
        self.0.database().await
    }

    pub(crate) fn place(&self, configuration: &str) -> Place {
        Place::at(&self.0.url(), configuration, &[self.0.password()])
    }
}

/// Asks for liveness until it is told to stop: how often it was asked.
fn watch_liveness(client: &Client, end: &CancellationToken) -> JoinHandle<usize> {
    let (client, end) = (client.clone(), end.clone());
    tokio::spawn(async move {
        let mut asked = 0;
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        while end.run_until_cancelled(ticks.tick()).await.is_some() {
            client.get("/liveness").await.expect(200);
            asked += 1;
        }
        asked
    })
}

async fn ready(client: &Client) -> bool {
    client.get("/readiness").await.status == 200
}

/// Asserts that everything on `known` is refused as unavailable: nothing is empty, and nothing not found.
async fn assert_unavailable(client: &Client, known: &str) {
    let readiness = client.get("/readiness").await;
    if readiness.status == 503 {
        let readiness = readiness.json();
        assert_eq!((&readiness["ready"], &readiness["overall_status"]), (&json!(false), &json!("unhealthy")));
        assert!(readiness["reason"].as_str().unwrap().contains("database"), "{readiness}");
    }
    for version in ["v1", "v2"] {
        client.get(&format!("/{version}/conversations")).await.expect_unavailable();
        client.get(&format!("/{version}/conversations/{known}")).await.expect_unavailable();
        client.delete(&format!("/{version}/conversations/{known}")).await.expect_unavailable();
    }
    for path in ["turns", "agent"] {
        client.get(&format!("/v1/conversations/{known}/{path}")).await.expect_unavailable();
    }
    client.ask(Some(known), &format!("what is my {CANARY}?")).await.expect_unavailable();
    let question = json!({ "query": CANARY, "conversation_id": known });
    client.post("/v1/streaming_query", &question).await.expect_unavailable();
}

async fn begins_nothing(client: &Client) {
    client.ask(None, &format!("my bird is {CANARY}")).await.expect_unavailable();
    client.post("/v1/streaming_query", &json!({ "query": CANARY })).await.expect_unavailable();
    client.ask_keyed("again", &json!({ "query": CANARY })).await.unwrap().expect_unavailable();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p8_it_starts_without_its_database_and_outlives_it() {
    let database = Database::start().await;
    database.stop(Shutdown::Fast).await;
    let process = database.place(REFUSES).serve().await;
    let (client, end) = (&process.client, CancellationToken::new());
    let liveness = watch_liveness(client, &end);
    assert_eq!(client.get("/readiness").await.status, 503);
    for _ in 0..5 {
        assert_unavailable(client, "018f3a5c-7d1e-7b3a-9c55-0242ac120002").await;
        begins_nothing(client).await;
    }
    assert!(!process.log().contains("the database is there"));

    database.restart().await;
    until("it is ready by itself", async || ready(client).await).await;
    let id = client.begin(&format!("my bird is {CANARY}")).await;
    let history = client.history("v1", &id).await;
    let list = client.list().await;
    for how in [Shutdown::Fast, Shutdown::Immediate] {
        database.stop(how).await;
        for _ in 0..5 {
            assert_unavailable(client, &id).await;
            begins_nothing(client).await;
        }
        until("it is not ready", async || !ready(client).await).await;
        assert_unavailable(client, &id).await;

        database.restart().await;
        until("it is ready again", async || ready(client).await).await;
        assert_eq!((client.history("v1", &id).await, client.list().await), (history.clone(), list.clone()));
    }
    assert_eq!(
        client.told(&id, &format!("what is my {CANARY}?")).await,
        format!("You have not told me your {CANARY} yet.")
    );
    end.cancel();
    assert!(liveness.await.unwrap() > 10);
    process.stop().await;
}

#[tokio::test]
async fn a_database_that_is_away_is_logged_once_for_each_reason_and_so_is_that_it_is_back() {
    let database = Database::start().await;
    database.stop(Shutdown::Fast).await;
    let process = database.place(REFUSES).serve().await;
    let client = &process.client;
    until("the schema, the erasures and the connections are tried again", async || {
        assert_unavailable(client, "018f3a5c-7d1e-7b3a-9c55-0242ac120002").await;
        let log = process.log();
        let still = |text: &str| log.lines().filter(|line| line.contains(text)).count() > 2;
        still("no connection to PostgreSQL still") && still("a background task fails still task=\"schema\"")
    })
    .await;
    database.restart().await;
    for back in [
        "connected to PostgreSQL again away_ms=",
        "a background task works again task=\"erasures\" failed_ms=",
    ] {
        process.logged(back).await;
    }
    let log = process.log();
    let (mut told, mut repeated): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for line in log.lines() {
        // Behind the time and the level, and without how long it has been so.
        let Some((_, said)) = line.split_once(" WARN ") else { continue };
        let said =
            said.split_once(" away_ms=").or_else(|| said.split_once(" failed_ms=")).map_or(said, |cut| cut.0);
        if said.contains("no connection to PostgreSQL") || said.contains("a background task fails") {
            let seen = told.contains(&said);
            if seen { &mut repeated } else { &mut told }.push(said);
        }
    }
    assert!(told.iter().any(|said| said.contains("nothing listens at")), "{told:#?}");
    assert_eq!(repeated, Vec::<&str>::new(), "{log}");
    process.stop().await;
}

#[tokio::test]
async fn a_database_that_never_answers_keeps_nobody_from_starting() {
    // It is connected to, and says nothing.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("postgres://u@{}/silent?sslmode=disable", silent.local_addr().unwrap());
    let process = Place::at(&url, REFUSES, &[]).serve().await;
    process.client.get("/liveness").await.expect(200);
    let readiness = process.client.get("/readiness").await.expect(503);
    assert!(readiness["reason"].as_str().unwrap().contains("no answer within 2s"), "{readiness}");
    process.stop().await;
}

#[tokio::test]
async fn another_process_that_is_at_the_schema_keeps_nobody_from_starting() {
    let database = TestPostgres::create().await;
    let migrating = database.client().await;
    let lock = "SELECT pg_advisory_lock(hashtext('lcs-persistence migration'), hashtext('public'))";
    migrating.batch_execute(lock).await.unwrap();
    let process = Place::postgres(&database).serve().await;
    let client = &process.client;
    client.get("/liveness").await.expect(200);
    let readiness = client.get("/readiness").await.expect(503);
    assert!(readiness["reason"].as_str().unwrap().contains("migrations: "), "{readiness}");
    begins_nothing(client).await;
    drop(migrating);
    until("it is ready by itself", async || ready(client).await).await;
    client.begin(&format!("my bird is {CANARY}")).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p8_in_memory_it_goes_on_and_says_that_it_is_volatile() {
    const DURABILITY: &str = "Persistence-Durability";
    let database = Database::start().await;
    let process = database
        .place(&format!("{OPENS_AT_ONCE}\n  mode: memory\n  probe_interval_seconds: 3600"))
        .serve()
        .await;
    let client = &process.client;
    let question = format!("my bird is {CANARY}");
    let known = client.begin(&question).await;
    let history = client.history("v1", &known).await;
    database.stop(Shutdown::Fast).await;

    // Until it is known that the database is gone, a question is refused as unavailable.
    let mut begun = None;
    until("a new conversation is taken", async || {
        let answer = client.ask(None, &question).await;
        if answer.status == 200 {
            assert_eq!(answer.header(DURABILITY), "volatile");
            begun = Some(answer.json()["conversation_id"].as_str().unwrap().to_owned());
        } else {
            answer.expect_unavailable();
        }
        begun.is_some()
    })
    .await;
    let begun = begun.unwrap();
    let answer = client.ask(Some(&begun), &format!("what is my {CANARY}?")).await;
    answer.expect(200);
    assert_eq!(answer.header(DURABILITY), "volatile");
    assert_eq!(client.history("v2", &begun).await.len(), 2);
    let events = client.stream(Some(&begun), &format!("tell of {CANARY}")).await.unwrap().rest().await;
    assert_eq!(events.last().unwrap()["persistence_durability"], "volatile", "{events:?}");
    let question = json!({ "query": question });
    let keyed = client.ask_keyed("in-the-dark", &question).await.unwrap();
    keyed.expect(200);
    assert_eq!(client.ask_keyed("in-the-dark", &question).await.unwrap().text, keyed.text);

    assert_unavailable(client, &known).await;
    let readiness = client.get("/readiness").await.expect(200);
    assert_eq!(readiness["overall_status"], "degraded", "{readiness}");
    let fallback = readiness["providers"].as_array().unwrap().iter();
    let fallback: Vec<&Value> = fallback.filter(|provider| provider["provider_id"] == "fallback").collect();
    assert!(fallback[0]["message"].as_str().unwrap().contains("in memory only"), "{fallback:?}");

    database.restart().await;
    // No probe is made in this test: readiness finds the database back, and from then on it is used again.
    until("all is well", async || client.get("/readiness").await.expect(200)["overall_status"] == "healthy")
        .await;
    assert_eq!(client.history("v1", &known).await, history);
    client.get(&format!("/v1/conversations/{begun}")).await.expect(404);
    assert_eq!(client.list().await.len(), 1);
    let answer = client.ask(Some(&known), &format!("what is my {CANARY}?")).await;
    assert_eq!((answer.status, answer.header(DURABILITY)), (200, "durable"));
    process.stop().await;
}
