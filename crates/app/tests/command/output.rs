//! What cannot be written: a reader that has gone ends a command quietly, and all else is one sentence that says what to do.

use std::fs;
use std::process::{Output, Stdio};

use crate::transfer::{file, outcomes};
use crate::{Home, text};

/// What comes of a command whose standard output nobody reads.
fn unread(home: &Home, arguments: &[&str]) -> Output {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    home.command(arguments).stdout(writer).stderr(Stdio::piped()).output().unwrap()
}

#[test]
fn a_reader_that_goes_away_ends_a_command_quietly() {
    let home = Home::new();
    let chat = home.json(&["chat", "--once", "hello"]);
    let id = chat["conversation_id"].as_str().unwrap();
    for arguments in [
        ["conversations", "list"].as_slice(),
        &["conversations", "list", "--json"],
        &["conversations", "show", id, "--json"],
        &["audit", "list"],
        &["stats", "--report", "-"],
        &["export", "-"],
        &["--help"],
    ] {
        let output = unread(&home, arguments);
        assert_eq!(output.status.code(), Some(141), "{arguments:?}: its answer was not read");
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
    }
    assert_eq!(outcomes(&home, "export"), ["begun", "failed"], "half an export is none");
    home.json(&["export", home.0.path().join("out").to_str().unwrap()]);
    assert_eq!(outcomes(&home, "export"), ["begun", "failed", "begun", "done"]);
}

/// What a command says, in one line, whose standard output is a disk without room.
#[cfg(target_os = "linux")]
fn full(home: &Home, arguments: &[&str]) -> String {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = home.command(arguments).stdout(full).stderr(Stdio::piped()).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{arguments:?}: {said}");
    said
}

#[cfg(target_os = "linux")]
#[test]
fn standard_output_that_cannot_be_written_is_an_error_that_says_what_to_do() {
    const SENTENCE: &str = "standard output cannot be written (No space left on device (os error 28)): make room there, \
                            or send it elsewhere\n";
    let home = Home::new();
    let chat = home.json(&["chat", "--once", "hello"]);
    let id = chat["conversation_id"].as_str().unwrap();
    for arguments in [
        ["migrate", "status"].as_slice(),
        &["conversations", "show", id, "--json"],
        &["audit", "list"],
        &["stats"],
        &["stats", "--report", "-"],
        &["export", "-"],
        &["--help"],
    ] {
        assert_eq!(full(&home, arguments), format!("error: {SENTENCE}"), "{arguments:?}");
    }
    assert_eq!(outcomes(&home, "export"), ["begun", "failed"]);

    let said = full(&home, &["hold", "place", "--user", "ada", "--reason", "a case"]);
    assert!(said.ends_with(&format!(" is placed: {SENTENCE}")), "{said}");
    assert_eq!(home.json(&["hold", "list"])["holds"].as_array().unwrap().len(), 1, "it was done");

    let said = full(&home, &["chat", "--once", "hello", "--json"]);
    assert!(said.starts_with("error: turn 1 of conversation "), "{said}");
    assert!(said.ends_with(&format!(" is stored, but its answer is not shown: {SENTENCE}")), "{said}");
    let listed = home.json(&["conversations", "list"]);
    assert_eq!(listed["conversations"].as_array().unwrap().len(), 2, "the answer is not lost");
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_there_is_no_room_for_is_named_and_not_left_behind() {
    let home = Home::new();
    let [source, folder] = ["in.jsonl", "folder"].map(|name| home.0.path().join(name));
    fs::create_dir(&folder).unwrap();
    fs::write(&source, file(40, 200)).unwrap();
    let size = source.metadata().unwrap().len();
    home.json(&["import", source.to_str().unwrap()]);
    let out = folder.join("out.jsonl");
    // A limit of the process on its files stands for a disk that is full: in units of 512 bytes.
    let script = format!(r#"trap '' XFSZ; ulimit -f {}; exec "$@""#, size / 2 / 512);
    let export = home.command(&["export", out.to_str().unwrap()]);
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", &script, "sh"]).arg(export.get_program()).args(export.get_args());
    for (name, value) in export.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    let output = limited.output().unwrap();
    let said = text(&output.stderr);
    let expected = format!(
        "error: {} cannot be written (File too large (os error 27)): make room there, or name another file\n",
        out.display()
    );
    assert_eq!((output.status.code(), said), (Some(1), expected));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "nothing is left of it");
}

#[test]
fn what_is_no_file_is_not_replaced_by_one() {
    let home = Home::new();
    home.json(&["chat", "--once", "hello"]);
    let pipe = home.0.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let pipe = pipe.to_str().unwrap();
    for arguments in [["export", "--force", pipe], ["stats", "--report", pipe]] {
        let (code, said) = home.failure(&arguments);
        assert!(code == 1 && said.contains("cannot be written (it is a device or a pipe"), "{said}");
    }
}
