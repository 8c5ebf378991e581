//! R14: what is secret, and what is said, is nowhere but where it belongs, however much is logged.
//!
//! One process with every secret that there is, through all that can go well and badly. Then everything that it
//! has written anywhere is searched.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::process::Stdio;
use std::time::Duration;

use lcs_app::configuration::Configuration;
use lcs_storage::testing::{PrivateCluster, Shutdown, TestPostgres};
use lcs_tests::model_stub::{ModelStub, Script};
use serde_json::{Value, json};
use tokio::process::Child;
use tokio::task::block_in_place;

use crate::client::{Answer, Client};
use crate::process::{CANARY, Place, until};

const API_KEY: &str = "sk-let-me-in-4711";
const WRONG_KEY: &str = "sk-guessed-0815";
const MODEL_KEY: &str = "sk-model-2718";
const STACK_KEY: &str = "sk-stack-3141";
const WRONG_PASSWORD: &str = "wrong-pass-1414";
const RETRY_KEY: &str = "retry-key-of-the-day";
const SECRETS: [&str; 6] = [API_KEY, WRONG_KEY, MODEL_KEY, STACK_KEY, WRONG_PASSWORD, RETRY_KEY];

/// A process whose output goes into two files.
struct Watched {
    child: Child,
    place: Place,
    client: Client,
}

impl Watched {
    async fn serve(place: Place) -> Self {
        let mut command = place.command(&["serve", "--json", "--port", "0", "--log-level", "trace"]);
        let file = |name: &str| Stdio::from(File::create(place.file(name)).unwrap());
        let child = command.stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap();
        let mut url = String::new();
        until("it listens", async || {
            let said = fs::read_to_string(place.file("stdout")).unwrap();
            let listening: Option<Value> =
                said.lines().next().and_then(|line| serde_json::from_str(line).ok());
            url = listening.map(|line| line["url"].as_str().unwrap().to_owned()).unwrap_or_default();
            !url.is_empty()
        })
        .await;
        Self { child, place, client: Client::new(&url) }
    }

    /// Ends it: all that it has written.
    async fn end(mut self) -> String {
        let id = self.child.id().unwrap().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.child.wait().await.unwrap().success());
        let read = |name: &str| fs::read_to_string(self.place.file(name)).unwrap();
        let written = read("stdout") + &read("stderr");
        assert!(!written.contains("panicked"), "{written}");
        written
    }
}

/// The section `persistence` with every secret in it.
fn configuration(database: &TestPostgres, password: &str, model: &ModelStub) -> String {
    let (port, user, url) = (database.port(), database.user(), model.base_url());
    let name = database.database();
    let stack = url.trim_end_matches("/v1");
    format!(
        "type: postgresql\n\
         database: {{host: 127.0.0.1, port: {port}, name: {name}, username: {user}, password: '{password}', ssl_mode: disable}}\n\
         fallback: {{mode: refuse, failures_to_open: 1}}\n\
         authentication: {{module: api-key-token, api_key: {API_KEY}}}\n\
         model: {{base_url: '{url}', model: stub, api_key: {MODEL_KEY}, idle_timeout: 1}}\n\
         llama_stack: {{url: '{stack}', api_key: {STACK_KEY}, timeout: 1}}"
    )
}

fn question() -> Value {
    json!({ "query": format!("my bird is {CANARY}"), "system_prompt": format!("speak of {CANARY}") })
}

/// What goes well: the bodies that were answered.
async fn use_well(client: &Client, time: u8) -> Vec<Answer> {
    let key = format!("{RETRY_KEY}-{time}");
    let began = client.ask_keyed(&key, &question()).await.unwrap();
    let id = began.expect(200)["conversation_id"].as_str().unwrap().to_owned();
    let again = client.ask_keyed(&key, &question()).await.unwrap();
    client.stream(Some(&id), &format!("tell of {CANARY}")).await.unwrap().rest().await;
    let turn =
        json!({ "input_messages": [CANARY, "\0"], "output_message": CANARY, "metadata": { "bird": CANARY } });
    let turns = format!("/v1/conversations/{id}/turns");
    let mut answers = vec![began, again, client.post(&turns, &turn).await];
    for path in [turns, format!("/v1/conversations/{id}"), "/v2/conversations".into(), "/readiness".into()] {
        answers.push(client.get(&path).await);
    }
    answers.push(client.delete(&format!("/v1/conversations/{id}")).await);
    assert!(answers.iter().all(|answer| answer.status < 300), "{answers:?}");
    answers
}

/// What is asked wrongly: what was answered, which may hold what this very caller sent.
async fn use_badly(client: &Client, stranger: &Client) -> Vec<Answer> {
    let turns = "/v1/conversations/018f3a5c-7d1e-7b3a-9c55-0242ac120002/turns";
    vec![
        stranger.get("/v1/conversations").await,
        stranger.bearer(WRONG_KEY).post("/v1/query", &question()).await,
        client.post("/v1/query", &json!({ "query": 1, CANARY: CANARY })).await,
        client.post("/v1/query", &json!([CANARY])).await,
        client.post(turns, &json!({ "input_messages": CANARY, "expected_turn_count": CANARY })).await,
        client.post(turns, &json!({ "input_messages": CANARY })).await,
        client.get(&format!("/v1/conversations/{CANARY}")).await,
        client.get(&format!("/v1/conversations?cursor={CANARY}&limit={CANARY}")).await,
        client
            .ask_keyed(&format!("{RETRY_KEY}-1"), &json!({ "query": format!("another {CANARY}") }))
            .await
            .unwrap(),
        client.ask(Some("7b63a1c4e5f60718293a4b5c6d7e8f901122334455667788"), CANARY).await,
    ]
}

/// A model that fails, and says its key and the question as it does.
async fn with_a_failing_model(client: &Client, model: &ModelStub) -> Vec<Answer> {
    let mut answers = Vec::new();
    let said = json!({ "error": { "code": "x", "message": format!("{MODEL_KEY} {CANARY}") } });
    for status in [400, 401, 429, 500, 307] {
        model.next(Script::status(status, &said));
        answers.push(client.post("/v1/query", &question()).await);
    }
    model.next(Script::events([json!({ "type": "response.failed", "response": said })]));
    answers.push(client.post("/v1/query", &question()).await);
    assert!(answers.iter().all(|answer| answer.status >= 400), "{answers:?}");
    answers
}

/// `text` holds none of what is secret, and nothing that was said unless it is the answer to whoever said it.
#[track_caller]
fn assert_clean(place: &str, text: &str, password: &str, may_hold_what_was_said: bool) {
    let said = (!may_hold_what_was_said).then_some(CANARY);
    for secret in SECRETS.into_iter().chain([password]).chain(said) {
        let line = text.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is in {place}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r14_no_secret_is_anywhere_it_does_not_belong() {
    // The server's log as a default installation has it.
    let cluster = block_in_place(|| PrivateCluster::start(&[]));
    let (database, model) = (cluster.database().await, ModelStub::start().await.unwrap());
    let password = cluster.password().to_owned();
    let section = configuration(&database, &password, &model);
    let serving = Watched::serve(Place::configured(&section, &[])).await;
    let (stranger, client) = (serving.client.clone(), serving.client.bearer(API_KEY));
    until("it is ready", async || client.get("/readiness").await.status == 200).await;

    let mut answers = use_well(&client, 1).await;
    let badly = use_badly(&client, &stranger).await;
    assert!(badly.iter().all(|answer| (400..500).contains(&answer.status)), "{badly:?}");
    answers.extend(badly);
    assert!(model.asked().iter().any(|asked| asked.authorization == Some(format!("Bearer {MODEL_KEY}"))));
    let mut failures = with_a_failing_model(&client, &model).await;
    let server_log = cluster.log();

    // What the database says of a row that it refuses holds the row; so it is not what a caller or a log is told.
    let never = "ADD CONSTRAINT never CHECK (turn_number < 0) NOT VALID";
    database.execute(&format!("ALTER TABLE conversation_turns {never}")).await;
    failures.push(client.post("/v1/query", &question()).await);
    assert!(cluster.log().contains(CANARY), "the server did not quote the row: the test shows nothing");
    database.execute("ALTER TABLE conversation_turns DROP CONSTRAINT never").await;

    let metrics = stranger.get("/metrics").await.text;
    block_in_place(|| cluster.stop(Shutdown::Fast));
    until("it has noticed", async || client.get("/readiness").await.status == 503).await;
    failures.push(client.get("/readiness").await);
    failures.push(client.post("/v1/query", &question()).await);
    failures.push(client.get("/v1/conversations").await);
    block_in_place(|| cluster.restart());
    until("it is back", async || client.get("/readiness").await.status == 200).await;
    answers.extend(use_well(&client, 2).await);

    let wrong =
        Watched::serve(Place::configured(&configuration(&database, WRONG_PASSWORD, &model), &[])).await;
    let refused = wrong.client.bearer(API_KEY);
    failures.push(refused.get("/readiness").await);
    failures.push(refused.post("/v1/query", &question()).await);
    assert!(failures.iter().all(|answer| answer.status >= 400), "{failures:?}");

    for answer in &answers {
        assert_clean("an answer", &format!("{answer:?}"), &password, true);
    }
    for answer in &failures {
        assert_clean("a failure", &format!("{answer:?}"), &password, false);
    }
    assert_clean("the metrics", &metrics, &password, false);
    assert!(metrics.contains("lcs_"), "{metrics}");
    let mut log = serving.end().await;
    log.push_str(&wrong.end().await);
    assert!(log.contains("TRACE") && log.contains("password authentication failed"), "{log}");
    assert_clean("the log", &log, &password, false);
    assert!(server_log.contains("database system is ready"), "{server_log}");
    assert_clean("the server's log", &server_log, &password, false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r14_no_command_and_no_debug_shows_a_secret() {
    let (database, model) = (TestPostgres::create().await, ModelStub::start().await.unwrap());
    for password in [database.password(), WRONG_PASSWORD] {
        let section = configuration(&database, password, &model);
        let mut shown = String::new();
        let yaml = format!("persistence:\n  {}\n", section.replace('\n', "\n  "));
        let read = Configuration::from_yaml(&yaml, &|_| None).unwrap();
        write!(shown, "{read:?} {read:#?}").unwrap();
        // One key too many: what is wrong is said of a file with secrets in it.
        let broken = yaml.replace("api_key: sk-model", "apikey: sk-model");
        writeln!(shown, "{:?}", Configuration::from_yaml(&broken, &|_| None).unwrap_err()).unwrap();
        let place = Place::configured(&section, &[]);
        for command in
            [&["doctor"][..], &["migrate", "status"], &["conversations", "list"], &["cleanup", "--help"]]
        {
            let mut command = place.command(command);
            command.args(["--log-level", "trace"]).kill_on_drop(true);
            let output =
                tokio::time::timeout(Duration::from_mins(1), command.output()).await.unwrap().unwrap();
            shown.push_str(&String::from_utf8_lossy(&output.stdout));
            shown.push_str(&String::from_utf8_lossy(&output.stderr));
        }
        assert!(shown.contains(database.user()), "{shown}");
        assert_clean("what is shown", &shown, database.password(), false);
    }
}
