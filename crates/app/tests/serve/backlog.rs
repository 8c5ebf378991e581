//! What is in journals when the database is back, and does not go in at once.

use lcs_storage::testing::Shutdown;

use crate::journal::{DURABILITY, begin, conflicts, stored_turns};
use crate::outage::{Database, OPENS_AT_ONCE};
use crate::process::{CANARY, Place, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p8_a_database_that_comes_back_without_its_grants_makes_no_conflicts() {
    let server = Database::start().await;
    let database = server.database().await;
    let role = "CREATE ROLE serving LOGIN PASSWORD 'serving'; GRANT ALL ON SCHEMA public TO serving";
    database.client().await.batch_execute(role).await.unwrap();
    let (host, port, name) = (database.host(), database.port(), database.database());
    let url = format!("postgres://serving:serving@{host}:{port}/{name}");
    let place = Place::at(&url, OPENS_AT_ONCE, &[]);
    let process = place.serve().await;
    let client = &process.client;
    client.begin(&format!("my bird is {CANARY}")).await;
    database.execute("REVOKE INSERT ON conversation_turns FROM serving").await;
    server.stop(Shutdown::Fast).await;
    let mut told = begin(client).await;
    told.go_on(client).await;

    server.restart().await;
    until("readiness says why", async || {
        let readiness = client.get("/readiness").await.expect(200);
        readiness["overall_status"] == "degraded"
            && readiness["reason"]
                .as_str()
                .unwrap()
                .contains("permission denied for table conversation_turns")
    })
    .await;
    process.logged("the replay has stopped").await;
    // It goes on as in the outage.
    let other = begin(client).await;
    assert!(conflicts(&place).await.is_empty());
    assert_eq!(stored_turns(&database).await, 1);

    database.execute("GRANT INSERT ON conversation_turns TO serving").await;
    until("all is well", async || client.get("/readiness").await.json()["overall_status"] == "healthy").await;
    assert!(conflicts(&place).await.is_empty());
    for told in [&told, &other] {
        assert_eq!(client.history("v1", &told.id).await, told.turns);
    }
    assert_eq!(process.log().matches("the replay has stopped").count(), 1, "{}", process.log());
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p8_what_a_killed_process_left_is_stored_by_one_that_runs() {
    let server = Database::start().await;
    let database = server.database().await;
    let place = Place::at(database.url(), OPENS_AT_ONCE, &[database.password()]);
    let (killed, runs) = (place.serve().await, place.serve().await);
    server.stop(Shutdown::Fast).await;
    let mut left = begin(&killed.client).await;
    left.go_on(&killed.client).await;
    let own = begin(&runs.client).await;
    killed.kill().await;
    server.restart().await;
    let client = &runs.client;
    until("what was left is stored", async || stored_turns(&database).await == 3).await;
    until("all is well", async || client.get("/readiness").await.json()["overall_status"] == "healthy").await;
    for told in [&left, &own] {
        assert_eq!(client.history("v1", &told.id).await, told.turns);
    }
    let answer = client.ask(Some(&left.id), &format!("what is my {CANARY}?")).await;
    assert_eq!((answer.status, answer.header(DURABILITY)), (200, "durable"));
    assert!(conflicts(&place).await.is_empty());
    assert_eq!(runs.log().matches("took over the journal of a process that is gone").count(), 1);
    runs.stop().await;
}
