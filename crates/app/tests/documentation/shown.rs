//! What a document shows: commands, and their answers as far as they are written out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A command and the lines that the document shows as its answer.
pub(crate) struct Shown {
    pub(crate) command: String,
    pub(crate) answer: Vec<String>,
}

pub(crate) fn documents() -> Vec<PathBuf> {
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
pub(crate) fn blocks(document: &Path) -> Vec<Vec<Shown>> {
    let text = fs::read_to_string(document).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.map(commands).collect()
}

fn commands(block: &str) -> Vec<Shown> {
    let is_session = block.lines().any(|line| line.starts_with("$ "));
    let mut commands: Vec<Shown> = Vec::new();
    for line in block.lines().filter(|line| !line.trim().is_empty()) {
        match (is_session, line.strip_prefix("$ ")) {
            (true, None) => commands.last_mut().unwrap().answer.push(line.to_owned()),
            (_, command) => {
                let command = command.unwrap_or(line).split(" #").next().unwrap().trim().to_owned();
                commands.push(Shown { command, answer: Vec::new() });
            }
        }
    }
    commands
}

/// What the texts that end in `…` stand for in one block: whatever the first answer has in their place, and
/// the same in all that follows, in answers and in commands.
#[derive(Default)]
pub(crate) struct Placeholders(BTreeMap<String, String>);

impl Placeholders {
    pub(crate) fn filled_in(&self, command: &str) -> String {
        let fill = |command: String, (shown, given): (&String, &String)| command.replace(shown, given);
        let command = self.0.iter().fold(command.to_owned(), fill);
        assert!(!command.contains('…'), "it is not shown before what stands there: {command}");
        command
    }

    /// Compares a line as it is shown with the one that was given. An object that ends in `,…}` is shown in
    /// part; `…` alone is any text.
    pub(crate) fn compare(&mut self, shown: &str, given: &str) -> Result<(), String> {
        let problem = || format!("shown is {shown}, given was {given}");
        let (shown_json, given_json) = (json(&shown.replace(",…}", r#","…":0}"#)), json(given));
        let (Some(shown_json), Some(given_json)) = (shown_json, given_json) else {
            return if shown == given { Ok(()) } else { Err(problem()) };
        };
        if self.is_shown(&shown_json, &given_json) { Ok(()) } else { Err(problem()) }
    }

    fn is_shown(&mut self, shown: &Value, given: &Value) -> bool {
        match (shown, given) {
            (Value::String(shown), Value::String(_)) if shown == "…" => true,
            (Value::String(shown), Value::String(given)) if shown.ends_with('…') => {
                self.0.entry(shown.clone()).or_insert_with(|| given.clone()) == given
            }
            (Value::Array(shown), Value::Array(given)) => {
                shown.len() == given.len()
                    && shown.iter().zip(given).all(|(shown, given)| self.is_shown(shown, given))
            }
            (Value::Object(shown), Value::Object(given)) => {
                let is_part = shown.contains_key("…");
                (is_part || shown.len() == given.len())
                    && shown
                        .iter()
                        .filter(|(key, _)| *key != "…")
                        .all(|(key, shown)| given.get(key).is_some_and(|given| self.is_shown(shown, given)))
            }
            (shown, given) => shown == given,
        }
    }
}

/// The JSON in a line; an event of a stream has a word before it.
fn json(line: &str) -> Option<Value> {
    serde_json::from_str(line.strip_prefix("data: ").unwrap_or(line)).ok()
}
