//! What is wrong with a configuration: all of it at once, each in a sentence that says what to write.

use std::fmt;

use thiserror::Error;

/// One thing that is wrong, at one key. Never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    key: String,
    message: String,
}

impl Problem {
    /// What is wrong at `key`, the path of a key like `persistence.database.port`, and what to write. The
    /// key is empty where the message needs none.
    pub(super) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }

    /// The path of the key, or the place in the file where there is no key; empty where there is neither.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is wrong there, and what to write.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// A configuration that cannot be used, with everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", Listed(self))]
pub struct ConfigurationError {
    origin: String,
    problems: Vec<Problem>,
}

impl ConfigurationError {
    /// The `problems` of what comes from `origin`: a file's name, an option, a variable.
    pub(super) fn new(origin: impl Into<String>, problems: Vec<Problem>) -> Self {
        Self { origin: origin.into(), problems }
    }

    /// Everything that is wrong, in the order in which it was found.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

/// One problem on one line; more of them as a list.
struct Listed<'a>(&'a ConfigurationError);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ConfigurationError { origin, problems } = self.0;
        if let [problem] = problems.as_slice() {
            return write!(f, "{origin}: {problem}");
        }
        write!(f, "{origin} has {} problems:", problems.len())?;
        problems.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_problem_is_one_sentence_and_more_are_a_list() {
        let port = Problem::new("persistence.database.port", "write 5432");
        let mode = Problem::new("persistence.database.ssl_mode", "write prefer");
        let one = ConfigurationError::new("lightspeed-stack.yaml", vec![port.clone()]);
        assert_eq!(one.to_string(), "lightspeed-stack.yaml: persistence.database.port: write 5432");
        let two = ConfigurationError::new("lightspeed-stack.yaml", vec![port, mode]);
        assert_eq!(
            two.to_string(),
            "lightspeed-stack.yaml has 2 problems:\n  - persistence.database.port: write 5432\n  \
             - persistence.database.ssl_mode: write prefer"
        );
    }
}
