//! `journal`, beside a service that does not run.

use std::fs;
use std::sync::Arc;

use lcs_domain::journal::JournalOperation;
use lcs_domain::{ConversationId, ConversationUpdate, JournalRepository as _, SystemClock, Text, UserId};
use lcs_storage::journal::JournalLimits;
use lcs_storage::sqlite::SqliteJournal;
use serde_json::Value;

use crate::Home;

/// A journal in its default place with two conflicts of this user, and two operations that wait.
pub(super) fn journal_of(home: &Home, user: &str) -> [u64; 4] {
    let folder = home.0.path().join("lcs-persistence/journal");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let clock = Arc::new(SystemClock);
        let journal = SqliteJournal::open(folder, JournalLimits::default(), clock).await.unwrap();
        let mut numbers = [0; 4];
        for number in &mut numbers {
            let topic = Text::summary("canary-said", "").unwrap();
            let update = ConversationUpdate { topic_summary: Some(Some(topic)), ..Default::default() };
            let base = lcs_domain::journal::UpdateBase::default();
            let operation =
                JournalOperation::Update { conversation_id: ConversationId::generate(), update, base };
            *number = journal.record(UserId::from_text(user), operation).await.unwrap().sequence;
        }
        for number in &numbers[..2] {
            journal.refuse(*number, "conversation not found").await.unwrap();
        }
        numbers
    })
}

#[test]
fn the_journal_is_listed_and_its_conflicts_are_decided() {
    let home = Home::new();
    assert_eq!(home.answer(&["journal", "list"]), "Nothing waits in the journal.\n");
    assert_eq!(home.answer(&["journal", "conflicts"]), "There are no conflicts.\n");
    let numbers = journal_of(&home, "alice");
    let [retried, discarded, ..] = numbers.map(|number| number.to_string());
    let conflicts = home.json(&["journal", "conflicts"]);
    assert_eq!(conflicts["conflicts"].as_array().unwrap().len(), 2);
    assert_eq!(conflicts["conflicts"][0]["reason"], "conversation not found");
    assert_eq!(conflicts["conflicts"][0]["kind"], "update");
    assert!(!conflicts.to_string().contains("canary-said"), "{conflicts}");
    let table = home.answer(&["journal", "conflicts"]);
    assert!(table.contains("conversation not found") && table.contains("update"), "{table}");

    let doctor = home.answer(&["doctor"]);
    for line in
        ["journal 0: 2 entries", "journal 0: 2 conflicts", &format!("{retried}, update of conversation")]
    {
        assert!(doctor.contains(line), "{line}: {doctor}");
    }
    assert!(!doctor.contains("canary-said"), "{doctor}");

    let (code, said) = home.failure(&["journal", "discard", &discarded]);
    assert_eq!(code, 1);
    assert!(said.contains("gone forever: write --yes"), "{said}");
    home.answer(&["journal", "discard", &discarded, "--yes"]);
    home.answer(&["journal", "retry", &retried, "--slot", "0"]);
    let absent = "error: there is no conflict 2: `lcs-persistence journal conflicts` names them";
    for arguments in [
        &["journal", "retry", "2"][..],
        &["journal", "discard", "2", "--yes"],
        &["journal", "retry", "2", "--slot", "7"],
    ] {
        assert_eq!(home.failure(arguments), (1, absent.to_owned()));
    }
    let (_, said) = home.failure(&["journal", "set-aside", &numbers[2].to_string()]);
    assert!(said.contains("the entry is sound"), "{said}");
    let entries = home.json(&["journal", "list"]);
    let listed: Vec<_> =
        entries["entries"].as_array().unwrap().iter().map(|entry| &entry["number"]).collect();
    assert_eq!(listed, [&Value::from(numbers[2]), &Value::from(numbers[3]), &Value::from(numbers[3] + 1)]);
    assert_eq!(home.answer(&["journal", "conflicts"]), "There are no conflicts.\n");
    assert_eq!(home.failure(&["journal", "retry", "x"]).0, 2);
}

/// Changes a byte of each record in a journal that nobody has open.
fn damage(file: &std::path::Path) {
    let mut bytes = fs::read(file).unwrap();
    let said = b"canary-said";
    let records = bytes.windows(said.len()).enumerate().filter(|(_, found)| found == said);
    let records: Vec<usize> = records.map(|(at, _)| at).collect();
    assert!(records.len() >= 4, "{records:?}");
    for at in records {
        *bytes.get_mut(at).unwrap() = b'C';
    }
    fs::write(file, bytes).unwrap();
}

#[test]
fn conflicts_are_decided_together_or_not_at_all() {
    let home = Home::new();
    assert_eq!(home.answer(&["journal", "retry", "--all"]), "There are no conflicts to decide about.\n");
    let [one, two, waiting, _] = journal_of(&home, "alice");
    let folder = home.0.path().join("lcs-persistence/journal");
    let [one, two, waiting] = [one, two, waiting].map(|number| number.to_string());
    let left = |expected: usize| {
        let conflicts = home.json(&["journal", "conflicts"]);
        assert_eq!(conflicts["conflicts"].as_array().unwrap().len(), expected, "{conflicts}");
    };
    // One of them is none: nothing is done with the others.
    let absent =
        format!("error: there is no conflict {waiting}: `lcs-persistence journal conflicts` names them");
    assert_eq!(home.failure(&["journal", "discard", &one, &waiting, &two, "--yes"]), (1, absent.clone()));
    assert_eq!(home.failure(&["journal", "retry", &one, &waiting]), (1, absent));
    for arguments in [&["journal", "discard", "--all"][..], &["journal", "discard", &one, &two]] {
        let (code, said) = home.failure(arguments);
        assert!(code == 1 && said.contains("gone forever: write --yes"), "{said}");
    }
    for arguments in [&["journal", "retry"][..], &["journal", "retry", "--all", &one]] {
        assert_eq!(home.failure(arguments).0, 2, "{arguments:?}");
    }
    left(2);
    assert_eq!(home.answer(&["journal", "retry", &one, &two]), "2 conflicts are put back to be replayed.\n");
    left(0);
    // They are entries again, and sound: only what cannot be read is set aside.
    let (_, said) = home.failure(&["journal", "set-aside", &waiting]);
    assert!(said.contains("the entry is sound"), "{said}");
    damage(&folder.join("journal-0.sqlite3"));
    assert_eq!(home.answer(&["journal", "set-aside", "--all"]), "4 unreadable entries are set aside.\n");
    left(4);
    // What cannot be read cannot be tried again, and does not keep the others from it.
    let (code, said) = home.failure(&["journal", "retry", "--all"]);
    assert!(code == 1 && said.contains("is not what was written") && said.contains("row 6"), "{said}");
    let answer = home.json(&["journal", "discard", "--all", "--yes", "--slot", "0"]);
    let expected = serde_json::json!({
        "done": "discarded",
        "decided": (3..=6).map(|number| serde_json::json!({ "slot": 0, "number": number })).collect::<Vec<_>>(),
    });
    assert_eq!(answer, expected);
    left(0);
    assert_eq!(home.answer(&["journal", "list"]), "Nothing waits in the journal.\n");
}
