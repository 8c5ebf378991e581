//! The configuration: a file of whatever content is read or refused in sentences, and shows no secret.

use std::ffi::OsString;

use lcs_app::configuration::{Configuration, ConfigurationError, DatabaseUrl, StoreConfiguration};
use secrecy::ExposeSecret;

/// Longer than any message needs to be, whatever is quoted in it.
const LONGEST_MESSAGE: usize = 1_000;

/// A YAML text, and a URL.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if text.contains("_file") || text.contains("_path") || text.contains('\\') {
        // It would read this machine's files, and some of those never end.
        return;
    }
    let environment = |name: &str| name.starts_with('A').then(|| OsString::from("environment-said-so"));
    match Configuration::from_yaml(text, &environment) {
        Ok(configuration) => no_secret_is_shown(text, &configuration),
        Err(error) => explained(&error),
    }
    if let Err(message) = DatabaseUrl::parse(text) {
        assert!(!message.is_empty() && message.len() < LONGEST_MESSAGE, "{message}");
    }
}

fn no_secret_is_shown(text: &str, configuration: &Configuration) {
    let StoreConfiguration::Postgresql(database) = &configuration.store else { return };
    let Some(password) = database.password.as_ref().map(ExposeSecret::expose_secret) else { return };
    // A text that stands elsewhere too may be shown for what it is there.
    if password.len() >= 8 && text.matches(password).count() == 1 {
        let shown = format!("{configuration:?}");
        // What it is called, and the defaults, are no secret.
        let known = format!("{:?}", Configuration::new(StoreConfiguration::Memory));
        assert!(!shown.contains(password) || known.contains(password), "{password:?} is in {shown}");
    }
}

fn explained(error: &ConfigurationError) {
    assert!(!error.problems().is_empty());
    for problem in error.problems() {
        assert!(!problem.message().is_empty() && problem.to_string().len() < LONGEST_MESSAGE, "{problem}");
        assert!(!problem.to_string().chars().any(char::is_control), "{problem:?}");
    }
}
