//! What somebody meets who tries it for the first time: nothing there yet, the wrong file, the wrong place.

use std::fs;

use crate::transfer::file;
use crate::{Home, text};

#[test]
fn a_log_that_is_not_there_is_not_said_to_be_whole() {
    let home = Home::new();
    let (code, said) = home.failure(&["audit", "verify"]);
    assert!(code == 1 && said.contains("there is no log to verify: nothing is stored yet"), "{said}");
    assert_eq!(home.answer(&["audit", "list"]), "Nothing is recorded of that.\n");
    assert_eq!(fs::read_dir(home.0.path()).unwrap().count(), 0, "it only looked");
    home.json(&["chat", "--once", "hello"]);
    assert!(home.answer(&["audit", "verify"]).contains("is whole"));
}

#[test]
fn a_dry_run_into_a_store_that_is_not_there_makes_none() {
    let home = Home::new();
    let [source, store] = ["in.jsonl", "new.sqlite"].map(|name| home.0.path().join(name));
    fs::write(&source, file(2, 1)).unwrap();
    let url = format!("sqlite:{}", store.display());
    let import = ["import", source.to_str().unwrap(), "--database-url", &url];
    assert_eq!(home.json(&[import.as_slice(), &["--dry-run"]].concat())["stored"], 2);
    assert_eq!(fs::read_dir(home.0.path()).unwrap().count(), 1, "only what is imported is there");
    assert_eq!(home.json(&import)["stored"], 2);
    assert!(store.exists(), "an import makes one");
}

#[test]
fn a_source_that_cannot_be_read_is_one_sentence() {
    let home = Home::new();
    let path = |name: &str| home.0.path().join(name).to_str().unwrap().to_owned();
    let mut export = zstd::encode_all(file(300, 2).as_bytes(), 0).unwrap();
    export.truncate(export.len() - 5);
    fs::write(path("cut.jsonl.zst"), &export).unwrap();
    export.truncate(20);
    fs::write(path("stump.jsonl.zst"), export).unwrap();
    fs::write(path("stump.jsonl.gz"), [0x1f]).unwrap();
    let [folder, stump, gzipped] = ["", "stump.jsonl.zst", "stump.jsonl.gz"].map(path);
    let (folder, stump, gzipped) = (folder.as_str(), stump.as_str(), gzipped.as_str());
    let postgres = "postgres://u:hunter2@127.0.0.1:1/d";
    for (arguments, expected) in [
        ([folder].as_slice(), "is a folder: name the file"),
        (&[folder, "--from", "openai-agents-sqlite", "--user", "ada"], "is a folder: name the file"),
        (&[stump], "stump.jsonl.zst cannot be imported: it is cut off in its first line: get the whole file"),
        (
            &[gzipped],
            "stump.jsonl.gz cannot be imported: it is cut off in its first line: get the whole file",
        ),
        (
            &[postgres, "--from", "lcs-cache-postgres"],
            "the source, a PostgreSQL database, cannot be imported: the database is unavailable: nothing listens",
        ),
    ] {
        let output = home.run(&[&["import"], arguments].concat());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with("error: ") && said.lines().count() == 1, "{said}");
        assert!(said.contains(expected), "{expected}: {said}");
        assert_eq!(text(&output.stdout), "", "nothing came, so nothing is said of it");
    }
    let output = home.run(&["import", &path("cut.jsonl.zst")]);
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("it is cut off behind line "), "{said}");
}

#[test]
fn a_file_with_nothing_in_it_is_said_to_be_empty_however_it_is_compressed() {
    let home = Home::new();
    let gzipped = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let packed = zstd::encode_all(b"".as_slice(), 0).unwrap();
    for (name, bytes) in [
        ("a.jsonl", b"".as_slice()),
        ("b.jsonl.gz", b""),
        ("c.jsonl.zst", b""),
        ("d.jsonl", b"\n"),
        ("e.jsonl", b" \r\n\n"),
        ("f.jsonl.gz", &gzipped),
        ("g.jsonl.zst", &packed),
    ] {
        let path = home.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        let path = path.to_str().unwrap();
        let expected = format!(
            "error: {path} cannot be imported: there is nothing in it: an export has two lines at least"
        );
        assert_eq!(home.failure(&["import", path]), (1, expected));
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_is_read_as_a_file_is() {
    let home = Home::new();
    let pipe = home.0.path().join("pipe.zst");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let export = zstd::encode_all(file(2, 1).as_bytes(), 0).unwrap();
    let written = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::write(pipe, export)
    });
    assert_eq!(home.json(&["import", pipe.to_str().unwrap()])["stored"], 2);
    written.join().unwrap().unwrap();
}

#[test]
fn a_file_that_cannot_be_made_is_named_as_it_was_written() {
    let home = Home::new();
    home.json(&["chat", "--once", "hello"]);
    let [nowhere, folder] =
        ["nowhere/x", ""].map(|name| home.0.path().join(name).to_str().unwrap().to_owned());
    for arguments in [
        ["export", &nowhere].as_slice(),
        &["stats", "--report", &nowhere],
        &["erase", "--user", "ada", "--yes", "--certificate", &nowhere],
    ] {
        let (code, said) = home.failure(arguments);
        assert!(code == 1 && said.contains("there is no folder ") && said.contains("nowhere"), "{said}");
        assert!(!said.contains("nowhere/."), "a name that nobody wrote: {said}");
    }
    for arguments in [["export", &folder].as_slice(), &["export", &folder, "--force"]] {
        let (code, said) = home.failure(arguments);
        assert!(
            code == 1 && said.contains("cannot be written (it is a folder): name another file"),
            "{said}"
        );
    }
}

#[test]
fn what_is_missing_or_mistyped_is_said_in_our_words() {
    let home = Home::new();
    for (arguments, expected) in [
        (["erase", "--yes"].as_slice(), "<--user <ID>|--conversation <ID>>"),
        (&["import", "nowhere.jsonl"], "nowhere.jsonl cannot be read: there is no file of that name"),
        (&["serve", "--port", "http"], "write a number from 0 to 65535"),
        (&["serve", "--port", "65536"], "write a number from 0 to 65535"),
    ] {
        let (_, said) = home.failure(arguments);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

#[test]
fn a_user_whose_name_cannot_be_shown_is_refused() {
    let home = Home::new();
    let [long, sessions] = ["a".repeat(1025), home.0.path().join("sessions.sqlite").display().to_string()];
    fs::write(&sessions, "").unwrap();
    for user in ["a\u{7}b", "a\nb", &long] {
        for arguments in
            [["chat", "--once", "hello"].as_slice(), &["import", &sessions, "--from", "openai-agents-sqlite"]]
        {
            let (code, said) = home.failure(&[arguments, &["--user", user]].concat());
            let sentence = "error: a user is at most 1024 bytes of text without control characters: write another --user";
            assert_eq!((code, said.as_str()), (1, sentence));
        }
    }
    assert_eq!(fs::read_dir(home.0.path()).unwrap().count(), 1, "it was refused before anything was made");
}

/// A host or another system may have begun users whom nobody begins here: they are looked after like all others.
#[test]
fn a_user_who_is_there_is_reached_whatever_the_name() {
    let home = Home::new();
    let name = "a\u{7}\nb".repeat(400);
    let sessions = file(1, 1).replace("018f0000-0000-7000-8001-000000000000", &user_id(&name));
    let source = home.0.path().join("in.jsonl");
    fs::write(&source, sessions).unwrap();
    assert_eq!(home.json(&["import", source.to_str().unwrap()])["stored"], 1);
    let user = ["--user", name.as_str()];
    let listed = home.json(&[["conversations", "list"].as_slice(), &user].concat());
    assert_eq!(listed["conversations"].as_array().unwrap().len(), 1);
    home.json(&[["retention", "set", "--keep", "forever"].as_slice(), &user].concat());
    let hold = home.json(&[["hold", "place", "--reason", "a case"].as_slice(), &user].concat());
    home.json(&["hold", "release", hold["hold_id"].as_str().unwrap()]);
    let events = home.json(&[["audit", "list"].as_slice(), &user].concat())["events"].clone();
    assert_eq!(events.as_array().unwrap().len(), 3, "{events}");
    let out = home.0.path().join("out.jsonl");
    assert_eq!(
        home.json(&[["export", out.to_str().unwrap()].as_slice(), &user].concat())["conversations"],
        1
    );
    let certificate = home.0.path().join("certificate.json");
    let erase = ["erase", "--yes", "--certificate", certificate.to_str().unwrap()];
    let erased = home.json(&[erase.as_slice(), &user].concat());
    assert_eq!(erased["certificate"]["erased"]["conversations"], 1, "{erased}");
}

fn user_id(name: &str) -> String {
    lcs_domain::UserId::from_text(name).to_string()
}

#[test]
fn a_service_without_a_host_is_told_what_to_write() {
    let home = Home::new();
    for host in ["", " "] {
        let (code, said) = home.failure(&["serve", "--host", host, "--port", "0"]);
        assert!(code == 1 && said.contains("the host is empty: write the address"), "{said}");
    }
}
