//! The journal's folder: one process a slot, and what a killed process leaves behind.

use std::io::{BufRead, BufReader};
use std::path::Path;

use diesel::connection::SimpleConnection as _;
use lcs_domain::journal::JournalOperation;
use lcs_domain::*;
use lcs_storage::journal::JournalLimits;
use lcs_storage::sqlite::{JournalSlot, SqliteJournal};

use crate::journal::{appending, journal};
use crate::process::worker;
use crate::support::*;

fn slot(journal: &SqliteJournal) -> &str {
    journal.file().file_name().unwrap().to_str().unwrap()
}

#[tokio::test]
async fn two_journals_of_one_folder_never_share_a_slot() {
    let place = Place::new();
    let (one, other) = (journal(&place).await, journal(&place).await);
    assert_eq!((slot(&one), slot(&other)), ("journal-0.sqlite3", "journal-1.sqlite3"));
    drop(one);
    let third = journal(&place).await;
    assert_eq!(slot(&third), "journal-0.sqlite3");
}

#[tokio::test]
async fn entries_without_a_process_are_taken_before_an_empty_slot() {
    let place = Place::new();
    let journals = [journal(&place).await, journal(&place).await, journal(&place).await];
    for journal in &journals[1..] {
        journal.record(user(), appending()).await.unwrap();
    }
    drop(journals);
    let first = journal(&place).await;
    assert_eq!(slot(&first), "journal-1.sqlite3");
    let slots = JournalSlot::all(place.folder()).await.unwrap();
    assert_eq!(slots.iter().map(|slot| slot.running).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(slot(&journal(&place).await), "journal-2.sqlite3");
    assert_eq!(slot(&journal(&place).await), "journal-2.sqlite3", "the one before has ended");
}

#[tokio::test]
async fn a_look_at_a_folder_that_is_not_there_makes_nothing() {
    let place = Place::new();
    let folder = place.folder().join("journal");
    assert_eq!(JournalSlot::all(&folder).await.unwrap(), []);
    assert!(!folder.exists());
}

#[tokio::test]
async fn what_was_acknowledged_is_in_the_journal_after_kill_9() {
    let place = Place::new();
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 1..=5 {
        let mut child = worker(&["journal", place.folder().to_str().unwrap(), "1000000"]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        acknowledged.extend((0..30 * round).map(|_| lines.next().unwrap().unwrap()));
        child.kill().unwrap();
        child.wait().unwrap();
        // Some more were acknowledged before the signal came; the last line may be torn.
        acknowledged.extend(lines.map(Result::unwrap).filter(|line| line.len() == 36));

        let journal = journal(&place).await;
        assert_eq!(slot(&journal), "journal-0.sqlite3", "a restarted process finds its own again");
        let mut turns = std::collections::HashSet::new();
        let mut after = 0;
        loop {
            let page = journal.pending(after, PageLimit::MAX).await.unwrap();
            let Some(end) = page.last() else { break };
            after = end.sequence;
            for entry in page {
                let JournalOperation::Append(append) = entry.operation else { panic!("not an append") };
                assert!(turns.insert(append.turn.turn_id().to_string()), "an entry is there twice");
            }
        }
        for id in &acknowledged {
            assert!(turns.contains(id), "round {round}: {id} is lost");
        }
        // Eight at once may have been committed without having been acknowledged in each round.
        assert!(turns.len() <= acknowledged.len() + 8 * round);
        drop(journal);
        let integrity = "SELECT integrity_check AS answer FROM pragma_integrity_check";
        assert_eq!(ask(&mut raw(&place.folder().join("journal-0.sqlite3")), integrity), "ok");
    }
}

async fn refusal(folder: &Path) -> String {
    SqliteJournal::open(folder, JournalLimits::default(), clock()).await.unwrap_err().to_string()
}

#[tokio::test]
async fn what_cannot_be_a_journal_is_told_at_once() {
    let place = Place::new();
    std::fs::write(place.folder().join("file"), "").unwrap();
    let said = refusal(&place.folder().join("file")).await;
    assert!(said.contains("a part of its path is a file, where a folder should be"), "{said}");

    std::fs::write(place.folder().join("journal-0.sqlite3"), "not a database at all\n".repeat(200)).unwrap();
    let said = refusal(place.folder()).await;
    assert!(said.ends_with("journal-0.sqlite3 is not a SQLite database: restore it from a backup"), "{said}");
}

#[tokio::test]
async fn p8_what_a_process_left_that_is_gone_is_taken_over_by_one_that_runs() {
    let place = Place::new();
    let (one, gone, runs) = (journal(&place).await, journal(&place).await, journal(&place).await);
    let mut left = Vec::new();
    for _ in 0..40 {
        let entry = gone.record(user(), appending()).await.unwrap();
        left.push((entry.recorded_at, entry.operation));
    }
    let refused = gone.record(user(), appending()).await.unwrap();
    gone.refuse(refused.sequence, "conversation not found").await.unwrap();
    let others = runs.record(user(), appending()).await.unwrap();
    assert_eq!(one.adopt().await.unwrap(), 0, "all of them run");
    let own = one.record(user(), appending()).await.unwrap();
    drop(gone);
    assert_eq!(one.adopt().await.unwrap(), 40);
    let pending = one.pending(own.sequence, PageLimit::MAX).await.unwrap().into_iter();
    let taken: Vec<_> = pending.map(|entry| (entry.recorded_at, entry.operation)).collect();
    assert_eq!(taken, left, "in their order, and as old as they are");
    assert_eq!(one.status().await.unwrap().entries, 41);
    assert_eq!(runs.pending(0, PageLimit::MAX).await.unwrap(), [others], "what runs keeps its own");
    // Their journal is empty, but for what is an operator's.
    let left = JournalSlot::all(place.folder()).await.unwrap().remove(1);
    assert!(!left.running);
    let status = left.look(clock()).await.unwrap().status().await.unwrap();
    assert_eq!((status.entries, status.conflicts), (0, 1));
    assert_eq!(one.adopt().await.unwrap(), 0, "once");
    assert_eq!(slot(&journal(&place).await), "journal-1.sqlite3", "and its place is free");
}

#[tokio::test]
async fn p8_what_cannot_be_read_or_does_not_fit_stays_where_it_is() {
    let place = Place::new();
    let (one, gone) = (journal(&place).await, journal(&place).await);
    for _ in 0..5 {
        gone.record(user(), appending()).await.unwrap();
    }
    drop((one, gone));
    let limits = JournalLimits { max_entries: 2, ..JournalLimits::default() };
    // Who starts would take it as its own: it is hidden until then.
    let (file, aside) = (place.folder().join("journal-1.sqlite3"), place.folder().join("aside"));
    std::fs::rename(&file, &aside).unwrap();
    let small = SqliteJournal::open(place.folder(), limits, clock()).await.unwrap();
    std::fs::rename(&aside, &file).unwrap();
    let refused = small.adopt().await;
    assert!(matches!(refused, Err(RepositoryError::Overloaded { .. })), "{refused:?}");
    assert_eq!(small.status().await.unwrap().entries, 0, "all of a commit or nothing");
    drop(small);

    std::fs::rename(&file, &aside).unwrap();
    let journal = journal(&place).await;
    std::fs::rename(&aside, &file).unwrap();
    let spoil = "UPDATE journal_entries SET operation = x'00' WHERE sequence = 3";
    raw(&file).batch_execute(spoil).unwrap();
    assert_eq!(journal.adopt().await.unwrap(), 2, "those before it");
    assert_eq!(journal.adopt().await.unwrap(), 0, "it is not passed over");
    let left = JournalSlot::all(place.folder()).await.unwrap().remove(1).look(clock()).await.unwrap();
    assert_eq!(left.status().await.unwrap().entries, 3);
    left.set_aside(3).await.unwrap();
    assert_eq!(journal.adopt().await.unwrap(), 2);
}

/// Several that run, and some that start, while there is something to take: each entry comes to one of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn p8_of_several_that_take_over_at_once_each_entry_comes_to_one() {
    let place = Place::new();
    let running = [journal(&place).await, journal(&place).await, journal(&place).await];
    let mut gone = Vec::new();
    for _ in 0..3 {
        gone.push(journal(&place).await);
    }
    let mut left = std::collections::BTreeSet::new();
    for journal in &gone {
        for _ in 0..20 {
            let entry = journal.record(user(), appending()).await.unwrap();
            left.insert(entry.operation.conversation_id());
        }
    }
    drop(gone);
    let adopting: Vec<_> = running
        .iter()
        .cloned()
        .map(|journal| tokio::spawn(async move { journal.adopt().await.unwrap() }))
        .collect();
    let started = journal(&place).await;
    for adopted in adopting {
        adopted.await.unwrap();
    }
    drop(started);
    running[0].adopt().await.unwrap();
    let mut found = Vec::new();
    for journal in &running {
        let pending = journal.pending(0, PageLimit::MAX).await.unwrap();
        found.extend(pending.iter().map(|entry| entry.operation.conversation_id()));
    }
    found.sort_unstable();
    assert_eq!(found, left.into_iter().collect::<Vec<_>>());
}
