//! Commands that are suggested: with the options that lead to the same store, and never with a password.

use std::path::Path;

use lcs_app::configuration::DatabaseUrl;
use secrecy::{ExposeSecret, SecretString};

use crate::output::text::word;

/// The options of this command line that another one needs to find the same store.
#[derive(Debug, Clone, Default)]
pub(crate) struct Again(String);

impl Again {
    pub(super) fn new(config: Option<&Path>, database_url: Option<&SecretString>) -> Self {
        let mut options = String::new();
        if let Some(config) = config {
            options = format!(" --config {}", word(&config.display().to_string()));
        }
        if let Some(url) = database_url.map(ExposeSecret::expose_secret) {
            let shown = match DatabaseUrl::parse(url) {
                Ok(DatabaseUrl::Sqlite(_) | DatabaseUrl::Memory) => word(url.trim()),
                _ => "…".into(),
            };
            options = format!("{options} --database-url {shown}");
        }
        Self(options)
    }

    /// `arguments` as a whole command.
    pub(super) fn command(&self, arguments: &str) -> String {
        format!("lcs-persistence {arguments}{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suggested_command_finds_the_same_store_and_shows_no_password() {
        let again = |config: Option<&str>, url: Option<&str>| {
            Again::new(config.map(Path::new), url.map(SecretString::from).as_ref()).command("chat")
        };
        assert_eq!(again(None, None), "lcs-persistence chat");
        assert_eq!(
            again(Some("my stack.yaml"), Some("sqlite:a.db")),
            "lcs-persistence chat --config 'my stack.yaml' --database-url sqlite:a.db"
        );
        assert_eq!(again(None, Some("postgres://u:canary@h/d")), "lcs-persistence chat --database-url …");
    }
}
