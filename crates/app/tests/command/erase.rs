//! `erase`: everything goes, a certificate says so, and a look finds nothing.

#![expect(clippy::indexing_slicing, reason = "a test that looks for what is not there fails")]

use std::fs;
use std::path::{Path, PathBuf};

use diesel::Connection as _;
use diesel::connection::SimpleConnection as _;
use diesel::sqlite::SqliteConnection;
use lcs_domain::UserId;
use lcs_domain::audit::AuditHash;
use lcs_domain::erasure::user_hash;
use lcs_storage::testing::TestPostgres;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Home;
use super::journal::journal_of;

/// What was said, and stands in nothing that is left.
const SAID: &str = "canary-said";

fn said(home: &Home, url: &[&str], user: &str) -> String {
    let said = home.json(&[url, &["chat", "--once", SAID, "--user", user]].concat());
    said["conversation_id"].as_str().unwrap().to_owned()
}

/// Erases, and reads the certificate that it writes.
fn erased(home: &Home, arguments: &[&str], file: &Path) -> Value {
    let certificate = ["--yes", "--certificate", file.to_str().unwrap()];
    home.answer(&[&["erase"], arguments, &certificate].concat());
    read(file)
}

/// A certificate that is what its hash was made from.
fn read(file: &Path) -> Value {
    #[derive(serde::Deserialize)]
    struct Document<'a> {
        #[serde(borrow)]
        certificate: &'a RawValue,
        sha256: String,
    }
    let text = fs::read_to_string(file).unwrap();
    let document: Document<'_> = serde_json::from_str(&text).unwrap();
    let hash = AuditHash(Sha256::digest(document.certificate.get().as_bytes()).into());
    assert_eq!(document.sha256, hash.to_string());
    serde_json::from_str(&text).unwrap()
}

/// Every file below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn holds(file: &Path, text: &[u8]) -> bool {
    fs::read(file).unwrap().windows(text.len()).any(|found| found == text)
}

#[test]
fn an_id_that_is_shown_is_not_guessed_to_be_a_name() {
    let home = Home::new();
    said(&home, &[], "carol");
    let shown = UserId::from_text("carol").to_string();
    let (id, name) = (format!("id:{shown}"), format!("name:{shown}"));
    for command in
        [["erase", "--verify"].as_slice(), &["hold", "list"], &["export", "-"], &["conversations", "list"]]
    {
        let (_, refused) = home.failure(&[command, &["--user", &shown]].concat());
        assert!(refused.contains(&id) && refused.contains(&name), "{command:?}: {refused}");
    }
    assert_eq!(
        home.json(&["conversations", "list", "--user", &id])["conversations"].as_array().unwrap().len(),
        1
    );
    said(&home, &[], &id);
    let (_, refused) = home.failure(&["chat", "--once", "hello", "--user", &shown]);
    assert!(refused.contains(&id) && refused.contains(&name), "{refused}");
    assert_eq!(
        home.json(&["conversations", "list", "--user", "carol"])["conversations"].as_array().unwrap().len(),
        2,
        "who is spoken as is found"
    );
    assert_eq!(home.json(&["erase", "--user", &name, "--verify"])["erased"], true);
    home.json(&["hold", "place", "--user", &id, "--reason", "matter 7"]);
    let (_, held) = home.failure(&["erase", "--user", "carol", "--yes"]);
    assert!(held.contains("matter 7"), "{held}");
    let (_, refused) = home.failure(&["erase", "--user", "id:carol", "--yes"]);
    assert!(refused.contains("name:id:carol"), "{refused}");
}

#[test]
fn an_erased_user_leaves_tombstones_and_a_certificate_and_a_look_finds_nothing() {
    let home = Home::new();
    let carol = UserId::from_text("carol");
    let ids = [said(&home, &[], "carol"), said(&home, &[], "carol")];
    home.json(&["conversations", "delete", &ids[1], "--user", "carol"]);
    home.json(&["cleanup"]);
    let others = home.json(&["chat", "--once", "another one's", "--user", "dave"]);
    let journaled = journal_of(&home, "carol");
    assert_eq!(journaled.len(), 4);
    let looked = home.run(&["erase", "--user", "carol", "--verify"]);
    assert_eq!(looked.status.code(), Some(1));
    let left = super::text(&looked.stdout);
    assert!(left.contains("1 in conversations") && left.contains("4 in the journals"), "{left}");
    let (code, refused) = home.failure(&["erase", "--user", "carol"]);
    assert!(code == 1 && refused.contains("write --yes to mean it"), "{refused}");
    let would = home.json(&["erase", "--user", "carol", "--dry-run"]);
    assert_eq!((&would["dry_run"], &would["found"]["journals"]["entries"]), (&true.into(), &2.into()));

    let file = home.0.path().join("certificate.json");
    let document = erased(&home, &["--user", "carol"], &file);
    let certificate = &document["certificate"];
    assert_eq!(certificate["format"], "lcs-erasure-1");
    let target = json!({ "kind": "user", "user_hash": user_hash(carol), "conversation_id": null });
    assert_eq!(certificate["target"], target);
    let counts = json!({
        "conversations": 1, "turns": 1, "agent_states": 1, "requests": 0, "holds": 0, "retention_overrides": 0,
        "tombstones": 1,
    });
    assert_eq!(certificate["erased"], counts);
    assert_eq!(certificate["journals"], json!({ "entries": 2, "conflicts": 2 }));
    assert_eq!((&certificate["key_ids"], &certificate["archived_conversations"]), (&json!([]), &json!(0)));
    let tables = certificate["verification"]["tables"].as_object().unwrap();
    assert!(tables.len() >= 6 && tables.values().all(|rows| *rows == 0), "{tables:?}");
    let schema = certificate["schema"].as_str().unwrap();
    assert!(schema.starts_with("2026-"), "{schema}");

    // It names nobody and nothing that was said, and nor does the log, the user's own rows of before apart.
    let written = fs::read_to_string(&file).unwrap();
    assert!(!written.contains(&carol.to_string()) && !written.contains("carol") && !written.contains(SAID));
    let events = home.json(&["audit", "list", "--action", "erase", "--after", "0"]);
    let events = events["events"].as_array().unwrap();
    assert_eq!(events.len(), 3, "{events:?}");
    let last = &events[2];
    assert_eq!(
        json!([last["sequence"], last["hash"]]),
        json!([document["audit"]["sequence"], document["audit"]["hash"]])
    );
    assert_eq!(last["detail"]["certificate_sha256"], document["sha256"]);
    assert_eq!(last["detail"]["content_sha256"], certificate["content_sha256"]);
    assert!(!json!(events).to_string().contains(&carol.to_string()));
    assert_eq!(home.json(&["audit", "verify"])["intact"], true);
    let of_it = home.json(&["audit", "list", "--conversation", &ids[0]]);
    assert_eq!(of_it["events"][0]["action"], "erase");

    let looked = home.answer(&["erase", "--user", "carol", "--verify"]);
    assert!(looked.starts_with("Nothing is left: "), "{looked}");
    for id in &ids {
        assert_eq!(home.json(&["erase", "--conversation", id, "--verify"])["erased"], true);
        assert_eq!(home.failure(&["conversations", "show", id, "--user", "carol"]).0, 1);
    }
    assert_eq!(home.json(&["journal", "list"])["entries"], json!([]));
    assert_eq!(home.json(&["journal", "conflicts"])["conflicts"], json!([]));
    // Not in a free page and not in a log of changes either.
    let kept: Vec<_> = files(home.0.path()).into_iter().filter(|file| holds(file, SAID.as_bytes())).collect();
    assert_eq!(kept, Vec::<PathBuf>::new());
    let dave = ["conversations", "show", others["conversation_id"].as_str().unwrap(), "--user", "dave"];
    assert_eq!(home.json(&dave)["turns"].as_array().unwrap().len(), 1);
    // The user begins anew.
    said(&home, &[], "carol");
}

#[test]
fn erasing_again_says_that_there_was_nothing_and_hands_out_the_first_certificate_again() {
    let home = Home::new();
    said(&home, &[], "carol");
    let file = |name: &str| home.0.path().join(name);
    // The certificate cannot be written where it is to go: nothing is erased before.
    let nowhere = home.failure(&["erase", "--user", "carol", "--yes", "--certificate", "/nowhere/c.json"]);
    assert!(
        nowhere.0 == 1
            && nowhere.1.contains(
                "/nowhere/c.json cannot be written (there is no folder /nowhere): name another file"
            ),
        "{nowhere:?}"
    );
    assert_eq!(home.json(&["erase", "--user", "carol", "--dry-run"])["found"]["tables"][2]["rows"], 1);
    let first = erased(&home, &["--user", "carol"], &file("first.json"));
    let taken = file("first.json");
    let (_, said) =
        home.failure(&["erase", "--user", "carol", "--yes", "--certificate", taken.to_str().unwrap()]);
    assert!(said.contains("is there already"), "{said}");
    for name in ["second.json", "third.json"] {
        let again = erased(&home, &["--user", "carol"], &file(name));
        assert_eq!(again["certificate"]["erased"]["conversations"], 0);
        let earlier = again["certificate"]["earlier"].as_array().unwrap();
        let oldest = earlier.last().unwrap();
        assert_eq!(oldest["erasure_id"], first["certificate"]["erasure_id"]);
        assert_eq!(oldest["certificate_sha256"], first["sha256"]);
        assert_eq!(again["earlier"], json!([first]), "what removed something is handed out again");
    }
    let answer = home.answer(&[
        "erase",
        "--user",
        "carol",
        "--yes",
        "--certificate",
        file("x.json").to_str().unwrap(),
    ]);
    assert!(
        answer.starts_with("There was nothing to erase any more; there is 1 earlier certificate."),
        "{answer}"
    );
    let stranger = erased(&home, &["--user", "nobody ever"], &file("stranger.json"));
    assert_eq!((&stranger["certificate"]["earlier"], stranger.get("earlier")), (&json!([]), None));
    for mistake in [
        ["erase"].as_slice(),
        &["erase", "--user", "a", "--conversation", "01890000-0000-7000-8000-000000000000"],
        &["erase", "--conversation", "abc"],
        &["erase", "--user", " "],
        &["erase", "--user", "a", "--verify", "--yes"],
    ] {
        assert_eq!(home.failure(mistake).0, 2, "{mistake:?}");
    }
}

#[test]
fn what_would_erase_nothing_that_lasts_is_refused() {
    let home = Home::new();
    let (code, said) = home.failure(&["erase", "--user", "carol", "--yes"]);
    assert!(code == 1 && said.starts_with("error: there is no database yet at "), "{said}");
    let (code, said) = home.failure(&["--database-url", "memory:", "erase", "--user", "carol", "--yes"]);
    assert!(code == 1 && said.starts_with("error: the store is memory only"), "{said}");
    let (code, said) = home.failure(&["erase", "--user", "carol", "--verify"]);
    assert!(code == 1 && said.starts_with("error: nothing is stored yet"), "nobody has looked: {said}");
    assert_eq!(fs::read_dir(home.0.path()).unwrap().count(), 0, "a look makes no file");
}

#[test]
fn a_hold_refuses_an_erasure_and_the_refusal_says_why() {
    let home = Home::new();
    let id = said(&home, &[], "carol");
    let hold = home.json(&["hold", "place", "--conversation", &id, "--reason", "matter 7"]);
    let hold_id = hold["hold_id"].as_str().unwrap();
    for target in [["--user", "carol"], ["--conversation", &id]] {
        let refused = home.failure(&[&["erase", "--yes"], target.as_slice()].concat());
        let expected = format!(
            "error: not erased: kept by the legal hold {hold_id}, for \"matter 7\"; release that first, if it may go"
        );
        assert_eq!(refused, (1, expected));
    }
    assert_eq!(home.json(&["conversations", "show", &id, "--user", "carol"])["turns"][0]["turn_number"], 1);
    let events = home.json(&["audit", "list", "--action", "erase"]);
    let refused: Vec<_> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| json!([event["outcome"], event["detail"]["hold_id"]]))
        .collect();
    assert_eq!(refused, vec![json!(["refused", hold_id]); 2]);
    home.json(&["hold", "release", hold_id]);
    let document = erased(&home, &["--conversation", &id], &home.0.path().join("c.json"));
    assert_eq!(document["certificate"]["erased"]["holds"], 1, "the released hold goes along");
}

#[test]
fn what_cannot_be_read_in_a_journal_is_named_and_there_is_no_certificate() {
    let home = Home::new();
    said(&home, &[], "carol");
    let numbers = journal_of(&home, "dave");
    let journal = home.0.path().join("lcs-persistence/journal/journal-0.sqlite3");
    let damage = "UPDATE journal_entries SET operation = x'00' WHERE sequence = 3; \
                  UPDATE journal_conflicts SET user_id = randomblob(16) WHERE sequence = 1";
    SqliteConnection::establish(journal.to_str().unwrap()).unwrap().batch_execute(damage).unwrap();
    assert_eq!(numbers, [1, 2, 3, 4]);
    let looked = home.run(&["erase", "--user", "carol", "--verify", "--json"]);
    assert_eq!(looked.status.code(), Some(1));
    let looked: Value = serde_json::from_slice(&looked.stdout).unwrap();
    let unread = json!([{ "slot": 0, "number": 3 }, { "slot": 0, "number": 1 }]);
    assert_eq!((&looked["erased"], &looked["found"]["unread"]), (&json!(false), &unread));
    let file = home.0.path().join("c.json");
    let (code, refused) =
        home.failure(&["erase", "--user", "carol", "--yes", "--certificate", file.to_str().unwrap()]);
    for part in ["operation 3 of journal 0, which cannot be read", "operation 1 of", "journal set-aside"] {
        assert!(code == 1 && refused.contains(part), "{part}: {refused}");
    }
    assert!(!file.exists());
    home.answer(&["journal", "set-aside", "3"]);
    home.answer(&["journal", "discard", "1", "3", "--yes"]);
    let document = erased(&home, &["--user", "carol"], &file);
    let certificate = &document["certificate"];
    assert_eq!(
        (&certificate["erased"]["turns"], &certificate["verification"]["unread"]),
        (&json!(1), &json!([]))
    );
    assert_eq!(home.json(&["journal", "list"])["entries"].as_array().unwrap().len(), 1, "dave's");
}

/// Plants a row, and asserts that it is found where it is, and that there is no certificate as long as it is there.
fn assert_planted_is_found(home: &Home, url: &[&str], plant: impl Fn(&str)) {
    let file = home.0.path().join("c.json");
    erased(home, &[url, &["--user", "carol"]].concat(), &file);
    fs::remove_file(&file).unwrap();
    let hex = UserId::from_text("carol").as_uuid().simple().to_string();
    // A table that this program has never heard of.
    plant(&hex);
    let looked = home.run(&[url, &["erase", "--user", "carol", "--verify"]].concat());
    assert_eq!(
        (looked.status.code(), super::text(&looked.stdout)),
        (Some(1), "Something is left: 1 in notes_of_others.\n".to_owned())
    );
    let file = file.to_str().unwrap();
    let again = [url, &["erase", "--user", "carol", "--yes", "--certificate", file]].concat();
    let (code, said) = home.failure(&again);
    assert!(code == 1 && said.contains("no certificate") && said.contains("1 in notes_of_others"), "{said}");
    assert!(!Path::new(file).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_planted_in_a_table_nobody_knows_is_found() {
    let home = Home::new();
    said(&home, &[], "carol");
    let store = home.0.path().join("lcs-persistence/conversations.sqlite");
    assert_planted_is_found(&home, &[], |hex| {
        let sql = format!(
            "CREATE TABLE notes_of_others (user_id BLOB, note TEXT); \
             INSERT INTO notes_of_others VALUES (x'{hex}', 'x')"
        );
        SqliteConnection::establish(store.to_str().unwrap()).unwrap().batch_execute(&sql).unwrap();
    });

    let home = Home::new();
    let database = TestPostgres::migrated().await;
    let client = database.client().await;
    let runtime = tokio::runtime::Handle::current();
    let url = ["--database-url", database.url()];
    said(&home, &url, "carol");
    tokio::task::block_in_place(|| {
        assert_planted_is_found(&home, &url, |hex| {
            let sql = format!(
                "CREATE TABLE notes_of_others (user_id uuid, note text); \
                 INSERT INTO notes_of_others VALUES ('{hex}', 'x')"
            );
            runtime.block_on(client.batch_execute(&sql)).unwrap();
        });
    });
}
