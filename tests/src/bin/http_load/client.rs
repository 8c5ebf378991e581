//! One client: talks in conversations of his own, reads them, and lists them.

use std::time::Duration;

use hyper::Method;
use lcs_tests::connection::Connection;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::PATIENCE;
use super::tally::Tally;

/// How many requests a conversation is talked about with.
const ROUND: usize = 10;

pub(crate) async fn run(address: String, client: u32, until: Instant) -> Tally {
    let mut tally = Tally::default();
    let mut connection = Connection::new(address, PATIENCE);
    // A user of this run, with nothing stored yet.
    let user = format!("load-{}-{client}", std::process::id());
    let mut conversation: Option<String> = None;
    let mut acknowledged = 0;
    let mut round = 0;
    while Instant::now() < until {
        let (kind, method, path, body) = match (round % ROUND, &conversation) {
            (0, _) | (1..=5, None) => {
                (conversation, acknowledged) = (None, 0);
                ("query_new", Method::POST, "/v1/query".to_owned(), Some(question(round, None)))
            }
            (1..=5, Some(id)) => {
                ("query_continued", Method::POST, "/v1/query".to_owned(), Some(question(round, Some(id))))
            }
            (6..=7, Some(id)) => ("conversation", Method::GET, format!("/v1/conversations/{id}"), None),
            _ => ("list", Method::GET, "/v1/conversations".to_owned(), None),
        };
        let separator = if kind == "list" { "?limit=20&" } else { "?" };
        let path = format!("{path}{separator}user_id={user}");
        round += 1;
        let started = Instant::now();
        let answered = connection.ask(method, &path, &[], body.as_ref()).await;
        let (status, retry_after, body) = match answered {
            Ok(answered) => (answered.status, answered.retry_after(), answered.body),
            Err(error) => {
                tally.fail(&error.to_string());
                continue;
            }
        };
        tally.count(kind, status, retry_after.is_some(), started.elapsed());
        match (kind, status) {
            ("query_new" | "query_continued", 200) => {
                conversation = body.get("conversation_id").and_then(Value::as_str).map(str::to_owned);
                acknowledged += 1;
            }
            ("conversation", 200) => {
                // A refused turn may be stored all the same; an acknowledged one has to be.
                let shown = body.get("chat_history").and_then(Value::as_array).map_or(0, Vec::len);
                if shown < acknowledged {
                    tally.miss();
                }
            }
            _ => {}
        }
        if let Some(seconds) = retry_after {
            sleep(Duration::from_secs(seconds.min(5))).await;
        }
    }
    tally
}

fn question(round: usize, conversation: Option<&str>) -> Value {
    let query = format!("remember that round {round} was here, {}", "and so on ".repeat(round % 20));
    json!({ "query": query, "conversation_id": conversation })
}
