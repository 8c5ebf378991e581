//! Several processes on one file, and processes that are killed.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use lcs_domain::{ConversationRepository, PageLimit, Turn, TurnRange, TurnRepository};
use lcs_storage::sqlite::Sqlite;

use crate::support::*;

pub(crate) fn worker(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sqlite-worker"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn all_turns(store: &Sqlite, conversation: &lcs_domain::Conversation) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    loop {
        let after = TurnRange::After(turns.last().map_or(0, |turn| turn.turn_number));
        let page =
            store.page(user(), conversation.conversation_id, after, PageLimit::MAX).await.unwrap().unwrap();
        let done = !page.has_later();
        turns.extend(page.turns);
        if done {
            let numbers: Vec<u32> = turns.iter().map(|turn| turn.turn_number).collect();
            assert_eq!(numbers, (1..=page.turn_count).collect::<Vec<_>>(), "turns are numbered without gaps");
            return turns;
        }
    }
}

#[tokio::test]
async fn p1_what_was_acknowledged_survives_kill_9() {
    let place = Place::new();
    let store = place.store().await;
    let conversation = begin(&store).await;
    drop(store);
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 1..=5 {
        let (file, id) = (place.file(), conversation.conversation_id.to_string());
        let arguments = ["append", file.to_str().unwrap(), &user().to_string(), &id, "1000000"];
        let mut child = worker(&arguments).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        acknowledged.extend((0..20 * round).map(|_| lines.next().unwrap().unwrap()));
        child.kill().unwrap();
        child.wait().unwrap();
        // Some more were acknowledged before the signal came; the last line may be torn.
        acknowledged.extend(lines.map(Result::unwrap).filter(|line| line.len() == id.len()));

        let store = open(place.config()).await;
        let turns = all_turns(&store, &conversation).await;
        for id in &acknowledged {
            assert!(turns.iter().any(|turn| turn.turn_id.to_string() == *id), "round {round}: {id} is lost");
        }
        // One append may have been committed without having been acknowledged in each round.
        assert!(turns.len() <= acknowledged.len() + round);
        drop(store);
        assert_eq!(
            ask(&mut place.raw(), "SELECT integrity_check AS answer FROM pragma_integrity_check"),
            "ok"
        );
    }
}

#[tokio::test]
async fn p2_processes_that_append_to_one_conversation_leave_no_gaps() {
    let place = Place::new();
    let store = place.store().await;
    let conversation = begin(&store).await;
    let (file, user, id) = (place.file(), user().to_string(), conversation.conversation_id.to_string());
    let arguments = ["append", file.to_str().unwrap(), &user, &id, "100"];
    let workers: Vec<_> = (0..3).map(|_| worker(&arguments).spawn().unwrap()).collect();
    for worker in workers {
        let output = worker.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 100);
    }
    assert_eq!(all_turns(&store, &conversation).await.len(), 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p2_two_pools_that_append_to_one_conversation_leave_no_gaps() {
    let place = Place::new();
    let one = place.store().await;
    let conversation = begin(&one).await;
    drop(one);
    let stores = [open(patient(place.config())).await, open(patient(place.config())).await];
    let appends = (0..400_usize).map(|n| {
        let (store, append) = (stores[n % 2].clone(), append(&conversation, turn(&n.to_string())));
        tokio::spawn(async move { store.append(user(), append).await.unwrap().turn_number.unwrap() })
    });
    let mut numbers = Vec::new();
    for append in appends.collect::<Vec<_>>() {
        numbers.push(append.await.unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=400).collect::<Vec<_>>());
    assert_eq!(all_turns(&stores[0], &conversation).await.len(), 400);
    let head = stores[1].head(user(), conversation.conversation_id).await.unwrap().unwrap();
    assert_eq!(head.turn_count, 400);
}
