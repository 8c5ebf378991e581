//! The journal's folder: one process a slot, and what a killed process leaves behind.

use std::io::{BufRead, BufReader};
use std::path::Path;

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
