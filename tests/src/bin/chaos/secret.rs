//! What may be nowhere but where it belongs: the passwords, and what was said.

use std::fmt;
use std::ops::AddAssign;
use std::sync::{Mutex, PoisonError};

use lcs_tests::chaos::replica::MARKER;

/// Looks for the secrets of one process.
pub(crate) struct Search {
    secrets: Vec<String>,
    found: Mutex<Searched>,
}

/// How much was searched, and how much of it shows what it must not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Searched {
    /// Lines of logs: the replicas' and the server's.
    log_lines: usize,
    /// Answers that hold no conversation: metrics, refusals, what the journal's commands say.
    answers: usize,
    hits: usize,
}

impl Search {
    /// For these, and for what stands in everything that clients say.
    pub(crate) fn of(secrets: &[&str]) -> Self {
        let secrets = secrets.iter().copied().chain([MARKER]).map(str::to_owned).collect();
        Self { secrets, found: Mutex::default() }
    }

    /// Searches an answer.
    pub(crate) fn answer(&self, text: &str) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.answers += 1;
        found.hits += text.lines().filter(|line| self.is_in(line)).count();
    }

    /// What was found in answers.
    pub(crate) fn found(&self) -> Searched {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_in(&self, line: &str) -> bool {
        self.secrets.iter().any(|secret| line.contains(secret))
    }
}

impl Searched {
    /// Takes what a search finds in a log.
    pub(crate) fn take_log(&mut self, search: &Search, log: &str) {
        self.log_lines += log.lines().count();
        self.hits += log.lines().filter(|line| search.is_in(line)).count();
    }

    /// Whether something was searched, and nothing found.
    pub(crate) const fn is_clean(&self) -> bool {
        self.hits == 0 && self.log_lines > 0
    }
}

impl AddAssign for Searched {
    fn add_assign(&mut self, other: Self) {
        self.log_lines += other.log_lines;
        self.answers += other.answers;
        self.hits += other.hits;
    }
}

impl fmt::Display for Searched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { log_lines, answers, hits } = self;
        write!(f, "{hits} hits in {log_lines} lines of logs and {answers} answers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_in_a_log_and_in_an_answer_and_nothing_searched_is_not_clean() {
        let search = Search::of(&["hunter2"]);
        search.answer("lcs_up 1\n");
        let mut searched = search.found();
        assert!(!searched.is_clean(), "no log was searched");
        searched.take_log(&search, "warn\nwarn\n");
        assert!(searched.is_clean());
        search.answer(&format!("{{\"{MARKER}\":1}}"));
        let mut leaked = search.found();
        leaked.take_log(&search, "password hunter2\n");
        assert_eq!(leaked.to_string(), "2 hits in 1 lines of logs and 2 answers");
        searched += leaked;
        assert!(!searched.is_clean());
    }
}
