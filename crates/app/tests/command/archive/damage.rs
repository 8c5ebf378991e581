//! What is damaged: conversations that cannot be archived, files of archives, and files that are nobody's.

use std::collections::BTreeSet;
use std::fs;

use lcs_app::archive::Step;
use serde_json::{Value, json};

use super::{Archiving, Database, conversation};
use crate::text;

/// One damaged conversation keeps no other from being archived, and is kept itself.
fn what_cannot_be_read_stops_no_other(archiving: &Archiving, damage: &[(u32, &str, &str)]) {
    let before = archiving.exported();
    let ids: Vec<String> = damage.iter().map(|(n, ..)| conversation(*n)).collect();
    for ((_, break_it, _), id) in damage.iter().zip(&ids) {
        archiving.database.run(&break_it.replace("$id", &archiving.database.literal(id)));
    }
    let expected: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
    for archived in [9 - damage.len(), 0] {
        let (code, cleaned) = archiving.coded(&["cleanup"]);
        assert_eq!((code, &cleaned["archived"]), (Some(1), &json!(archived)), "{cleaned}");
        let named = cleaned["unarchived"].as_array().unwrap();
        let found: BTreeSet<&str> =
            named.iter().map(|one| one["conversation_id"].as_str().unwrap()).collect();
        assert_eq!((found.len(), &found), (named.len(), &expected), "{cleaned}");
        assert!(named.iter().all(|one| !one["reason"].as_str().unwrap().is_empty()), "{cleaned}");
        assert!(!cleaned.to_string().contains("canary"), "nothing of what was said: {cleaned}");
        let (stored, in_archives) = archiving.database.places();
        assert_eq!((stored.len(), in_archives.len()), (damage.len(), 9 - damage.len()), "kept, not expired");
        assert_eq!(archiving.states(), BTreeSet::from(["complete".to_owned()]));
        assert_eq!(archiving.files().len(), 2, "nothing is left of what was tried");
    }
    let said = text(&archiving.run(&["cleanup"]).stderr);
    for id in &ids {
        assert_eq!(
            said.matches(&format!("Not archived, and kept: conversation {id}: ")).count(),
            1,
            "{said}"
        );
    }
    assert_eq!(archiving.json(&["archive", "verify"])["conversations"], 9 - damage.len());
    for ((_, _, mend_it), id) in damage.iter().zip(&ids) {
        archiving.database.run(&mend_it.replace("$id", &archiving.database.literal(id)));
    }
    let cleaned = archiving.json(&["cleanup"]);
    assert_eq!((&cleaned["archived"], &cleaned["unarchived"]), (&json!(damage.len()), &json!([])));
    assert_eq!(archiving.json(&["restore", "--all"])["restored"], 9);
    assert!(archiving.exported() == before, "all is as it was");
}

/// What cannot be read, and what would be refused when it came back.
const DAMAGE: [(u32, &str, &str); 2] = [
    (
        1,
        "UPDATE conversation_turns SET turn_number = 7 WHERE turn_number = 1 AND conversation_id = $id",
        "UPDATE conversation_turns SET turn_number = 1 WHERE turn_number = 7 AND conversation_id = $id",
    ),
    (
        5,
        "UPDATE agent_states SET through_turn = 99 WHERE conversation_id = $id",
        "UPDATE agent_states SET through_turn = 2 WHERE conversation_id = $id",
    ),
];

#[test]
fn what_cannot_be_archived_on_sqlite_is_named_and_kept_and_stops_no_other() {
    what_cannot_be_read_stops_no_other(&Archiving::new(Database::sqlite, 9), &DAMAGE);
}

#[test]
fn what_cannot_be_archived_on_postgresql_is_named_and_kept_and_stops_no_other() {
    // And one whose fault PostgreSQL's client finds, in words that name no row.
    let odd = (
        8,
        "UPDATE conversations SET created_at = '-infinity' WHERE conversation_id = $id",
        "UPDATE conversations SET created_at = '2026-01-31T12:00:00.123456Z' WHERE conversation_id = $id",
    );
    let damage = [DAMAGE.as_slice(), &[odd]].concat();
    what_cannot_be_read_stops_no_other(&Archiving::new(|_| Database::postgres(), 9), &damage);
}

/// Where the run itself fails behind it, what was passed over is named all the same.
#[test]
fn what_cannot_be_archived_is_named_also_where_the_run_fails_later() {
    let archiving = Archiving::new(Database::sqlite, 9);
    let (number, break_it, _) = DAMAGE[0];
    let id = conversation(number);
    archiving.database.run(&break_it.replace("$id", &archiving.database.literal(&id)));
    archiving.database.run(
        "CREATE TRIGGER fails BEFORE INSERT ON conversation_tombstones BEGIN SELECT RAISE(ABORT, 'no'); END",
    );
    let output = archiving.run(&["cleanup"]);
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.matches("error: ").count()), (Some(1), 1), "{said}");
    assert_eq!(said.matches(&format!("Not archived, and kept: conversation {id}: ")).count(), 1, "{said}");
}

/// What is in the place and not in the database is named, and the exit code says so.
#[test]
fn an_archive_that_the_database_does_not_know_is_named() {
    let archiving = Archiving::new(Database::sqlite, 3);
    archiving.json(&["cleanup"]);
    let known = archiving.archives()[0]["archive_id"].as_str().unwrap().to_owned();
    let folder = archiving.home.0.path().join("archive/archives");
    let (copy, piece) = ("018f0000-0000-7000-8009-000000000001", "018f0000-0000-7000-8009-000000000002");
    fs::create_dir(folder.join(copy)).unwrap();
    fs::copy(folder.join(&known).join("manifest.json"), folder.join(copy).join("manifest.json")).unwrap();
    fs::create_dir(folder.join(piece)).unwrap();
    fs::write(folder.join(piece).join("conversations.jsonl.zst#1"), "a piece").unwrap();
    let (code, verified) = archiving.coded(&["archive", "verify"]);
    assert_eq!((code, &verified["unknown"]), (Some(1), &json!([copy, piece])), "{verified}");
    assert_eq!((&verified["whole"], &verified["damaged"]), (&json!(1), &json!([])));
    assert_eq!(verified["leftovers"], json!([{"archive_id": piece, "file": "conversations.jsonl.zst#1"}]));
    let said = text(&archiving.run(&["archive", "verify"]).stdout);
    assert!(said.contains(&format!("Unknown: archive {copy}: the database does not know it")), "{said}");
    assert_eq!(archiving.coded(&["archive", "verify", &known]).0, Some(0), "this one is right");
    archiving.json(&["cleanup"]);
    assert_eq!(archiving.coded(&["archive", "verify"]).0, Some(1), "they are not the program's to delete");
    for unknown in [copy, piece] {
        fs::remove_dir_all(folder.join(unknown)).unwrap();
    }
    assert_eq!(archiving.coded(&["archive", "verify"]).0, Some(0));
}

/// `archive list` says 0 of it yet, and what is gone from the database is in it alone.
#[test]
fn of_an_archive_that_is_not_finished_it_is_said_that_it_may_hold_something() {
    let archiving = Archiving::new(Database::sqlite, 3);
    assert!(archiving.killed_behind(Step::Removed, &["cleanup"]));
    assert!(!archiving.database.places().1.is_empty(), "it holds something");
    let said = text(&archiving.run(&["archive", "verify"]).stdout);
    let expected = "To be finished by a later cleanup: 1 archive, which may hold conversations that are gone from \
                    the database already.\n";
    assert!(said.ends_with(expected), "{said}");
}

/// A file without a manifest is named: of an archive whose maker was killed, and of one that nobody knows.
#[test]
fn a_file_without_a_manifest_is_named() {
    const DATA: &str = "conversations.jsonl.zst";
    let archiving = Archiving::new(Database::sqlite, 3);
    assert!(archiving.killed_behind(Step::Written, &["cleanup"]));
    let known = archiving.archives()[0]["archive_id"].as_str().unwrap().to_owned();
    let left = json!([{"archive_id": known, "file": DATA}]);
    for one_or_all in [["archive", "verify"].as_slice(), &["archive", "verify", &known]] {
        let (code, verified) = archiving.coded(one_or_all);
        assert_eq!(
            (code, &verified["leftovers"]),
            (Some(0), &left),
            "the next cleanup sees to it: {verified}"
        );
    }
    archiving.forget_the_time();
    archiving.json(&["cleanup"]);
    assert_eq!(archiving.json(&["archive", "verify"])["leftovers"], json!([]));
    let unknown = "018f0000-0000-7000-8009-000000000001";
    let folder = archiving.home.0.path().join("archive/archives").join(unknown);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join(DATA), "what was said").unwrap();
    let (code, verified) = archiving.coded(&["archive", "verify"]);
    assert_eq!((code, &verified["unknown"]), (Some(1), &json!([unknown])), "{verified}");
    assert_eq!(verified["leftovers"], json!([]), "no cleanup deletes it");
}

/// A damaged file is found, and nothing of it comes back.
#[test]
fn flipped_bits_and_cut_off_files_are_found_and_not_restored() {
    let archiving = Archiving::new(Database::sqlite, 5);
    archiving.json(&["cleanup"]);
    for path in archiving.files() {
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        for (how, bytes) in [
            ("flipped", Some(flipped)),
            ("cut off", Some(whole[..whole.len() - 3].to_vec())),
            ("emptied", Some(Vec::new())),
            ("gone", None),
        ] {
            match bytes {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let verified = archiving.run(&["archive", "verify", "--json"]);
            assert_eq!(verified.status.code(), Some(1), "{name} {how}: {}", text(&verified.stderr));
            let verified: Value = serde_json::from_slice(&verified.stdout).unwrap();
            assert_eq!(verified["damaged"].as_array().unwrap().len(), 1, "{name} {how}");
            let restored = archiving.run(&["restore", "--all", "--json"]);
            assert_eq!(restored.status.code(), Some(1), "{name} {how}");
            let restored: Value = serde_json::from_slice(&restored.stdout).unwrap();
            assert_eq!(
                (&restored["restored"], restored["damaged"].as_array().unwrap().len()),
                (&json!(0), 1)
            );
            let (stored, archived) = archiving.database.places();
            assert_eq!((stored.len(), archived.len()), (0, 5), "{name} {how}: nothing is changed");
        }
        fs::write(&path, whole).unwrap();
    }
    assert_eq!(archiving.json(&["restore", "--all"])["restored"], 5);
}
