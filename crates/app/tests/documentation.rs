//! The commands in README and `docs`: each is run as it stands there, and answers what stands there.

#![cfg(test)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Commands of other programs: what runs them is named here, so that none is forgotten.
const RUN_ELSEWHERE: [(&str, &str); 2] =
    [("scripts/test", "CI runs it"), ("cargo nextest run -p lcs-tests p4_", "scripts/test runs all of them")];

/// A command and the lines that the document shows as its answer.
struct Shown {
    document: PathBuf,
    command: String,
    answer: Vec<String>,
}

fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut documents = vec![root.join("README.md")];
    for entry in fs::read_dir(root.join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            documents.push(path);
        }
    }
    documents.sort();
    documents
}

/// The commands of a document's `sh` blocks. Where a block has lines that begin with `$ `, they are its
/// commands and the others are answers; otherwise every line is a command.
fn shown(document: &Path) -> Vec<Shown> {
    let text = fs::read_to_string(document).unwrap();
    let mut all = Vec::new();
    for block in text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
        let is_session = block.lines().any(|line| line.starts_with("$ "));
        for line in block.lines().filter(|line| !line.trim().is_empty()) {
            match (is_session, line.strip_prefix("$ ")) {
                (true, None) => {
                    let last: &mut Shown = all.last_mut().unwrap();
                    last.answer.push(line.to_owned());
                }
                (_, command) => {
                    let command = command.unwrap_or(line).split(" #").next().unwrap().trim().to_owned();
                    all.push(Shown { document: document.to_owned(), command, answer: Vec::new() });
                }
            }
        }
    }
    all
}

/// A machine on which nothing is configured but what the documents assume.
struct FreshMachine {
    folder: TempDir,
}

impl FreshMachine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        symlink(env!("CARGO_BIN_EXE_lcs-persistence"), folder.path().join("lcs-persistence")).unwrap();
        let yaml = "persistence:\n  type: sqlite\n  sqlite: {path: conversations.sqlite}\n";
        fs::write(folder.path().join("lightspeed-stack.yaml"), yaml).unwrap();
        let machine = Self { folder };
        // `doctor` is for a system that runs: its schema is there.
        machine.run("lcs-persistence migrate run --config lightspeed-stack.yaml");
        machine.run("lcs-persistence migrate run");
        machine
    }

    fn run(&self, command: &str) -> String {
        let path = format!("{}:{}", self.folder.path().display(), std::env::var("PATH").unwrap());
        let output = Command::new("sh")
            .args(["-c", command])
            .current_dir(&self.folder)
            .env("PATH", path)
            .env("HOME", self.folder.path())
            .env_remove("XDG_DATA_HOME")
            .env_remove("LCS_PERSISTENCE_DATABASE_URL")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {}: {errors}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The conversation id in an answer, which is another one each time.
fn conversation_id(answer: &str) -> Option<String> {
    let value: Value = serde_json::from_str(answer).ok()?;
    value.get("conversation_id")?.as_str().map(str::to_owned)
}

/// An answer without what is another one each time.
fn comparable(answer: &str) -> Value {
    let mut value: Value = serde_json::from_str(answer).unwrap();
    value.as_object_mut().unwrap().remove("conversation_id").unwrap();
    value
}

#[test]
fn every_command_of_the_documents_does_what_it_says() {
    let machine = FreshMachine::new();
    let mut ran = 0;
    let mut conversation = String::new();
    for Shown { document, command, answer } in documents().iter().flat_map(|document| shown(document)) {
        let place = format!("{}: {command}", document.display());
        if RUN_ELSEWHERE.iter().any(|(elsewhere, _)| *elsewhere == command) {
            continue;
        }
        // Building is what the test's own build has done.
        let ours =
            command.replace("cargo run --release --", "lcs-persistence").replace("019aac…", &conversation);
        assert!(ours.contains("lcs-persistence "), "{place}: neither ours nor said to be run elsewhere");
        let given = machine.run(&ours);
        ran += 1;
        if let Some(id) = conversation_id(&given) {
            conversation = id;
        }
        for (shown, given) in answer.iter().zip(given.lines()) {
            assert_eq!(comparable(shown), comparable(given), "{place}");
        }
        assert!(answer.len() <= given.lines().count(), "{place}: {given}");
    }
    assert!(ran >= 6, "only {ran} commands were found: the documents are read wrongly");
}

#[test]
fn what_is_run_elsewhere_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    assert!(root.join("scripts/test").is_file() && root.join("tests/Cargo.toml").is_file());
}
