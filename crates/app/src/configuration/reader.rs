//! From the text of a value to the value: substitution, kinds, ranges, and a note of all that is wrong.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::document::Value;
use super::problem::Problem;
use super::variable::{self, Environment, substitute};

/// Reads values and collects what is wrong with them. What cannot be read is its default meanwhile, so
/// that the rest of the file can be checked too.
pub(super) struct Reader<'a> {
    environment: Environment<'a>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(environment: Environment<'a>, problems: Vec<Problem>) -> Self {
        Self { environment, problems }
    }

    pub(super) fn problem(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(Problem::new(key, message));
    }

    /// Whether something is wrong at `key` already: then a value that is missing is not missing on purpose.
    pub(super) fn has_problem(&self, key: &str) -> bool {
        self.problems.iter().any(|problem| problem.key() == key)
    }

    /// The environment variable `name`; an empty one counts as none.
    pub(super) fn environment(&mut self, name: &str) -> Option<String> {
        match variable::get(name, self.environment) {
            Ok(value) => value.filter(|value| !value.is_empty()),
            Err(message) => {
                self.problems.push(Problem::new("", message));
                None
            }
        }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// The text with its variables replaced; an empty one counts as none.
    pub(super) fn text(&mut self, key: &str, value: &Value) -> Option<String> {
        match substitute(value.as_deref()?, self.environment) {
            Ok(text) => Some(text).filter(|text| !text.is_empty()),
            Err(message) => {
                self.problem(key, message);
                None
            }
        }
    }

    /// A whole number within `range`. `unit` is what it counts, for the message; empty where it counts nothing.
    pub(super) fn number<T>(
        &mut self,
        key: &str,
        value: &Value,
        range: RangeInclusive<T>,
        unit: &str,
        default: T,
    ) -> T
    where
        T: Copy + Display + FromStr + PartialOrd,
    {
        let Some(text) = self.text(key, value) else { return default };
        match text.trim().parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let (least, most) = (range.start(), range.end());
                let wrong =
                    if text.trim().parse::<i128>().is_ok() { "out of range" } else { "no whole number" };
                let of = if unit.is_empty() { "" } else { " of " };
                let message = format!(
                    "{} is {wrong}: write a whole number{of}{unit} from {least} to {most}",
                    quoted(&text)
                );
                self.problem(key, message);
                default
            }
        }
    }

    /// A time in seconds within `range`, which may have a fraction: `1.5`.
    pub(super) fn seconds(
        &mut self,
        key: &str,
        value: &Value,
        range: RangeInclusive<f64>,
        default: Duration,
    ) -> Duration {
        let Some(text) = self.text(key, value) else { return default };
        match text.trim().parse() {
            Ok(seconds) if range.contains(&seconds) => Duration::from_secs_f64(seconds),
            _ => {
                let (least, most) = (range.start(), range.end());
                let message = format!("{} is no time: write seconds from {least} to {most}", quoted(&text));
                self.problem(key, message);
                default
            }
        }
    }

    /// Yes or no, in any of the words that YAML has had for them.
    pub(super) fn flag(&mut self, key: &str, value: &Value, default: bool) -> bool {
        let words =
            [("true", true), ("false", false), ("yes", true), ("no", false), ("on", true), ("off", false)];
        self.word(key, value, &words, "true or false", default)
    }

    /// One of `words`, in either case.
    pub(super) fn word<T: Copy>(
        &mut self,
        key: &str,
        value: &Value,
        words: &[(&str, T)],
        expected: &str,
        default: T,
    ) -> T {
        let Some(text) = self.text(key, value) else { return default };
        let meant = words.iter().find(|(word, _)| text.trim().eq_ignore_ascii_case(word));
        meant.map_or_else(
            || {
                self.problem(key, format!("{} is not known here: write {expected}", quoted(&text)));
                default
            },
            |(_, value)| *value,
        )
    }

    /// The path of a file. `~` is the shell's and is not expanded: a folder of that name is never meant.
    pub(super) fn path(&mut self, key: &str, value: &Value) -> Option<PathBuf> {
        let text = self.text(key, value)?;
        if text.starts_with('~') {
            self.problem(key, "a path that begins with ~ is not expanded: write the whole path");
            return None;
        }
        Some(PathBuf::from(text))
    }
}

/// A value as a message shows it: bounded, and without control characters.
fn quoted(text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    if short.len() < text.len() { format!("{short:?}...") } else { format!("{short:?}") }
}
