//! The tests that show what the campaign does not: run, and counted.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Stdio;
use std::time::Duration;

use lcs_tests::chaos::replica::Failure;
use lcs_tests::hostile_json::cases;
use tokio::process::Command;
use tokio::time::{Instant, timeout};

use super::table::{Part, Requirement};

/// How long the tests of one requirement may take, their build included.
const PATIENCE: Duration = Duration::from_mins(30);

/// The tests of one requirement.
struct Suite {
    id: &'static str,
    what: &'static str,
    /// Which tests, as nextest's filters have it.
    filter: &'static str,
    /// What else counts in what they print, and whether that is enough.
    count: fn(&str) -> (String, bool),
}

const SUITES: [Suite; 5] = [
    Suite {
        id: "R6",
        what: "the checker finds 10 bugs that are put before it, with 3 seeds each",
        filter: "binary_id(lcs-tests::chaos)",
        count: bugs,
    },
    Suite {
        id: "R8",
        what: "each write, failed at each message in each way",
        filter: "binary_id(lcs-tests::postgres) & test(/^every_message::/)",
        count: messages,
    },
    Suite {
        id: "R11",
        what: "what is foreign is as what is absent; row-level security alone shows nothing",
        filter: "(binary_id(lcs-tests::http) & test(/^isolation::/)) \
                 | (binary_id(lcs-tests::postgres) & test(/^row_level_security::every_method::/))",
        count: nothing_else,
    },
    Suite {
        id: "R12",
        what: "150 hostile documents, the same verdict on every store and over HTTP",
        filter: "(binary_id(lcs-tests::conformance) | binary_id(lcs-tests::http)) & test(/hostile_json/)",
        count: documents,
    },
    Suite {
        id: "R15",
        what: "migrations: killed at every message, and many at once",
        filter: "binary_id(lcs-app::migrate) | (binary_id(lcs-tests::schema) & test(/^concurrency::/))",
        count: migrations,
    },
];

/// Runs them all, one after the other.
pub(crate) async fn suites() -> Result<Part, Failure> {
    let mut part = Part { title: "suites".into(), ..Part::default() };
    for suite in &SUITES {
        let began = Instant::now();
        let (succeeded, said) = run(suite).await?;
        let requirement = of_suite(suite, succeeded, &said);
        writeln!(part.text, "{} in {} s: {}", suite.id, began.elapsed().as_secs(), suite.filter)?;
        if !requirement.holds {
            // What failed is in the last lines.
            let lines: Vec<&str> = said.lines().collect();
            part.text += &lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n");
            part.text += "\n";
        }
        part.requirements.push(requirement);
    }
    Ok(part)
}

async fn run(suite: &Suite) -> Result<(bool, String), Failure> {
    let mut nextest = Command::new("cargo");
    nextest.args(["nextest", "run", "-p", "lcs-tests", "-p", "lcs-app", "--all-features"]);
    nextest.args(["--no-tests", "fail", "--success-output", "final", "--color", "never"]);
    nextest.args(["-E", suite.filter]).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, nextest.output()).await??;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    Ok((output.status.success(), said.into_owned()))
}

fn of_suite(suite: &Suite, succeeded: bool, said: &str) -> Requirement {
    let passed = passed(said);
    let mut found = match passed {
        Some(passed) => format!("{passed} tests passed"),
        None => "no test ran".to_owned(),
    };
    let (counted, is_enough) = (suite.count)(said);
    if !counted.is_empty() {
        found = format!("{found}: {counted}");
    }
    if !succeeded {
        found += "; the run failed";
    }
    let holds = succeeded && is_enough && passed.is_some_and(|passed| passed > 0);
    Requirement::new(suite.id, suite.what, found, holds)
}

/// How many tests passed, where a summary says so.
fn passed(said: &str) -> Option<usize> {
    let summary = said.lines().rfind(|line| line.trim_start().starts_with("Summary ["))?;
    let (_, counts) = summary.split_once("run: ")?;
    // Such as `7 passed (1 slow)`.
    counts.split(',').find_map(|count| {
        let (count, of) = count.trim().split_once(' ')?;
        of.starts_with("passed").then(|| count.parse().ok())?
    })
}

fn nothing_else(_: &str) -> (String, bool) {
    (String::new(), true)
}

/// The lines `Bug, seed N: {...}`.
fn bugs(said: &str) -> (String, bool) {
    let found = said.lines().filter_map(|line| line.trim().split_once(", seed "));
    let found: Vec<&str> = found.filter(|(_, rest)| rest.contains(": {")).map(|(bug, _)| bug).collect();
    let bugs = found.iter().copied().collect::<BTreeSet<_>>().len();
    (format!("{bugs} bugs found, {} times", found.len()), bugs >= 10 && found.len() >= bugs * 3)
}

/// The lines `write: N messages` and `N x how it failed`.
fn messages(said: &str) -> (String, bool) {
    let lines = || said.lines().map(str::trim);
    let writes = lines().filter_map(|line| line.strip_suffix(" messages")?.split_once(": "));
    let messages: Vec<usize> = writes.filter_map(|(_, count)| count.parse().ok()).collect();
    let cases = lines().filter_map(|line| line.split_once(" x ")?.0.parse::<usize>().ok()).sum::<usize>();
    let (writes, messages) = (messages.len(), messages.iter().sum::<usize>());
    (format!("{writes} writes, {messages} messages, {cases} cases"), messages > 0 && cases >= messages)
}

fn documents(_: &str) -> (String, bool) {
    let documents = cases().len();
    (format!("{documents} documents"), documents >= 150)
}

/// The line `N messages: killed before anything was done ...`.
fn migrations(said: &str) -> (String, bool) {
    let killed = said.lines().find_map(|line| line.trim().split_once(" messages: killed before"));
    let told = killed.map(|(messages, _)| format!("killed at each of {messages} messages"));
    (told.clone().unwrap_or_default(), told.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "
    create: 4 messages
      12 x Before, gone after: false: ok, done: true
       8 x Refused, gone after: false: Unavailable, done: false
    append: 5 messages
    NoDeduplication, seed 1: {Duplicate}
    NoDeduplication, seed 2: {Duplicate}
    WallClock, seed 1: {Reorder}
    78 messages: killed before anything was done 20, between migrations 40
     Summary [   2.512s] 14 tests run: 13 passed (1 slow), 1 failed, 320 skipped
";

    #[test]
    fn what_tests_print_is_counted() {
        assert_eq!(passed(SAID), Some(13));
        assert_eq!(messages(SAID), ("2 writes, 9 messages, 20 cases".into(), true));
        assert_eq!(bugs(SAID), ("2 bugs found, 3 times".into(), false));
        assert_eq!(migrations(SAID), ("killed at each of 78 messages".into(), true));
        assert!(!messages("").1 && !migrations("").1);
    }

    #[test]
    fn a_suite_of_which_nothing_ran_or_something_failed_is_no_pass() {
        let suite = Suite { id: "R8", what: "what", filter: "", count: messages };
        assert!(of_suite(&suite, true, SAID).holds);
        assert!(!of_suite(&suite, false, SAID).holds);
        assert!(!of_suite(&suite, true, "error: no tests to run").holds);
        let nothing = Suite { count: nothing_else, ..suite };
        let none = "     Summary [   0.000s] 0 tests run: 0 passed, 334 skipped";
        assert!(!of_suite(&nothing, true, none).holds);
        let few = Suite { count: bugs, ..nothing };
        assert!(!of_suite(&few, true, SAID).holds);
    }
}
