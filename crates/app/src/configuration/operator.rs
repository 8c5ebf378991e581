//! The operator's part of the configuration: the keys of whoever looks after the service.

use secrecy::{ExposeSecret, SecretString};

use super::AuthenticationModule;
use super::document::Operator;
use super::file;
use super::reader::Reader;

const API_KEY: &str = "persistence.operator.api_key";
const API_KEY_FILE: &str = "persistence.operator.api_key_file";
/// A shorter key could be guessed, and it opens everybody's figures.
const LEAST_CHARS: usize = 16;

/// How the service knows its operator.
#[derive(Debug, Clone)]
pub struct OperatorConfig {
    /// Each of these keys is the operator's: there is an old one and a new one while they are changed.
    pub api_keys: Vec<SecretString>,
}

/// Reads the section. Without it nobody is an operator.
pub(super) fn read(
    reader: &mut Reader<'_>,
    section: Option<&Operator>,
    users: &AuthenticationModule,
) -> Option<OperatorConfig> {
    let section = section?;
    let keys =
        file::secret(reader, "persistence.operator", "api_key", &section.api_key, &section.api_key_file);
    let Some(keys) = keys else {
        if !reader.has_problem(API_KEY) && !reader.has_problem(API_KEY_FILE) {
            reader.problem(API_KEY, "an operator needs a key: write api_key or api_key_file");
        }
        return None;
    };
    let key = if section.api_key.is_some() { API_KEY } else { API_KEY_FILE };
    let api_keys: Vec<&str> = keys.expose_secret().lines().filter(|line| !line.is_empty()).collect();
    if !api_keys.iter().all(|key| key.bytes().all(|byte| byte.is_ascii_graphic())) {
        reader
            .problem(key, "no client can send it: write letters, digits and signs of ASCII, without spaces");
    } else if api_keys.is_empty() || api_keys.iter().any(|key| key.len() < LEAST_CHARS) {
        reader.problem(key, format!("it is too short: write at least {LEAST_CHARS} characters"));
    }
    if let AuthenticationModule::ApiKeyToken { api_key } = users
        && api_keys.contains(&api_key.expose_secret())
    {
        reader.problem(key, "it is the users' key as well: write one that they do not have");
    }
    Some(OperatorConfig { api_keys: api_keys.into_iter().map(SecretString::from).collect() })
}
