//! The commands in README and `docs`: each is run as it stands there, and answers what stands there.

#![cfg(test)]

#[path = "../command/fixture.rs"]
#[expect(dead_code, reason = "what only other tests use")]
mod fixture;
mod machine;
mod shown;

use std::path::Path;

use self::machine::FreshMachine;
use self::shown::{Placeholders, blocks, documents};

/// Commands of other programs: what runs them is named here, so that none is forgotten.
const RUN_ELSEWHERE: [(&str, &str); 1] = [("scripts/test", "CI runs it")];

#[test]
fn every_command_of_the_documents_does_what_it_says() {
    let machine = FreshMachine::new();
    let mut ran = 0;
    for document in documents() {
        let mut service = None;
        for block in blocks(&document) {
            let mut placeholders = Placeholders::default();
            for shown in block {
                let place = format!("{}: {}", document.display(), shown.command);
                if RUN_ELSEWHERE.iter().any(|(elsewhere, _)| *elsewhere == shown.command) {
                    continue;
                }
                // Building is what the test's own build has done.
                let command = shown.command.replace("cargo run --release --", "lcs-persistence");
                let command = placeholders.filled_in(&command);
                ran += 1;
                if command.starts_with("lcs-persistence serve") {
                    // Written again, it is what a reader does after Ctrl-C.
                    drop(service.take());
                    service = Some(machine.serve(&command));
                    continue;
                }
                let is_ours = command.starts_with("lcs-persistence ")
                    || command.contains(" lcs-persistence ")
                    || command.starts_with("curl ");
                assert!(is_ours, "{place}: neither ours nor said to be run elsewhere");
                let answer = machine.run(&command, service.as_ref());
                let given: Vec<&str> = answer.lines().filter(|line| !line.is_empty()).collect();
                assert!(shown.answer.len() <= given.len(), "{place}: {answer}");
                for (shown, given) in shown.answer.iter().zip(given) {
                    placeholders.compare(shown, given).unwrap_or_else(|problem| panic!("{place}: {problem}"));
                }
            }
        }
    }
    assert!(ran >= 30, "only {ran} commands were found: the documents are read wrongly");
}

#[test]
fn what_is_run_elsewhere_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    assert!(root.join("scripts/test").is_file());
}
