//! The models' part of the configuration: who answers (`persistence.model`), and the Llama Stack whose
//! conversations are taken over (`persistence.llama_stack`).

use std::path::PathBuf;
use std::time::Duration;

use lcs_domain::{PageLimit, Text};

use super::document::{LlamaStack, Model, Value};
use super::reader::Reader;
use super::{file, size};
use crate::endpoint::base_url;
use crate::llama_stack::LlamaStackConfig;
use crate::responses::ResponsesConfig;

const MODEL: &str = "persistence.model";
const LLAMA_STACK: &str = "persistence.llama_stack";

/// Who answers.
#[derive(Debug, Clone)]
pub enum ModelConfiguration {
    /// The built-in agent, which needs no model.
    Echo,
    /// A model behind a Responses API.
    Responses(Box<ResponsesConfig>),
}

#[derive(Clone, Copy)]
enum Kind {
    Echo,
    Responses,
}

/// Reads the section. An answer may be as large as a document: `max_output_bytes`.
pub(super) fn read(reader: &mut Reader<'_>, section: &Model, max_output_bytes: usize) -> ModelConfiguration {
    let kinds = [("echo", Kind::Echo), ("responses", Kind::Responses)];
    let default = if section.base_url.is_some() { Kind::Responses } else { Kind::Echo };
    match reader.word("persistence.model.type", &section.kind, &kinds, "echo or responses", default) {
        Kind::Echo => ModelConfiguration::Echo,
        Kind::Responses => {
            ModelConfiguration::Responses(Box::new(responses(reader, section, max_output_bytes)))
        }
    }
}

fn responses(reader: &mut Reader<'_>, section: &Model, max_output_bytes: usize) -> ResponsesConfig {
    const NAME: &str = "persistence.model.model";
    let base_url = address(reader, "persistence.model.base_url", &section.base_url);
    let model = reader.text(NAME, &section.name);
    match model.as_deref().map(|model| Text::name(model, "")) {
        Some(Ok(_)) => {}
        Some(Err(_)) => reader.problem(NAME, "it is no name: write at most 512 bytes, and not only spaces"),
        None if section.name.is_some() => {}
        None => reader.problem(NAME, "there is none: write the name of a model that the server has"),
    }
    let defaults = ResponsesConfig::new(base_url, model.unwrap_or_default());
    let mut seconds = |name: &str, value: &Value, most: u64, default: Duration| {
        let key = format!("{MODEL}.{name}");
        Duration::from_secs(reader.number(&key, value, 1..=most, "seconds", default.as_secs()))
    };
    let connect_timeout = seconds("connect_timeout", &section.connect_timeout, 300, defaults.connect_timeout);
    let idle_timeout = seconds("idle_timeout", &section.idle_timeout, 3_600, defaults.idle_timeout);
    let request_timeout =
        seconds("request_timeout", &section.request_timeout, 86_400, defaults.request_timeout);
    let history_turns = reader.number(
        "persistence.model.history_turns",
        &section.history_turns,
        0..=PageLimit::MAX.get(),
        "turns",
        defaults.history_turns,
    );
    let history_max_bytes = reader.number(
        "persistence.model.history_max_bytes",
        &section.history_max_bytes,
        1_024..=16_777_216,
        "bytes",
        262_144,
    );
    ResponsesConfig {
        api_key: file::secret(reader, MODEL, "api_key", &section.api_key, &section.api_key_file),
        provider: reader.text("persistence.model.provider", &section.provider),
        ca_cert_path: certificates(reader, "persistence.model.ca_cert_path", &section.ca_cert_path),
        connect_timeout,
        idle_timeout,
        request_timeout,
        history_turns,
        history_max_bytes: size(history_max_bytes),
        max_output_bytes,
        ..defaults
    }
}

/// Reads the section of the Llama Stack.
pub(super) fn llama_stack(reader: &mut Reader<'_>, section: &LlamaStack) -> LlamaStackConfig {
    let defaults = LlamaStackConfig::new(address(reader, "persistence.llama_stack.url", &section.url));
    let timeout =
        reader.number("persistence.llama_stack.timeout", &section.timeout, 1..=3_600, "seconds", 30);
    LlamaStackConfig {
        api_key: file::secret(reader, LLAMA_STACK, "api_key", &section.api_key, &section.api_key_file),
        ca_cert_path: certificates(reader, "persistence.llama_stack.ca_cert_path", &section.ca_cert_path),
        history_fallback: reader.flag(
            "persistence.llama_stack.history_fallback",
            &section.history_fallback,
            false,
        ),
        timeout: Duration::from_secs(timeout),
        ..defaults
    }
}

fn address(reader: &mut Reader<'_>, key: &str, value: &Value) -> String {
    let address = reader.text(key, value);
    match address.as_deref().map(base_url) {
        Some(Err(message)) => reader.problem(key, message),
        None if value.is_none() => {
            reader.problem(key, "there is none: write one like http://localhost:8321/v1");
        }
        _ => {}
    }
    address.unwrap_or_default()
}

fn certificates(reader: &mut Reader<'_>, key: &str, value: &Value) -> Option<PathBuf> {
    let path = reader.path(key, value)?;
    file::check_certificates(reader, key, &path);
    Some(path)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use secrecy::ExposeSecret;

    use super::*;
    use crate::configuration::Configuration;

    const WHOLE: &str = "
persistence:
  model:
    type: responses
    base_url: ${env.MODEL_URL}
    api_key: ${env.MODEL_KEY}
    model: llama3.2:3b
    provider: ollama
    connect_timeout: 1
    idle_timeout: 2
    request_timeout: 3
    history_turns: 0
    history_max_bytes: 1024
  max_document_bytes: 2048
  llama_stack:
    url: http://localhost:8321
    api_key: canary-stack
    history_fallback: true
    timeout: 4
";

    fn environment(name: &str) -> Option<OsString> {
        match name {
            "MODEL_URL" => Some("http://localhost:8321/v1".into()),
            "MODEL_KEY" => Some("canary-model".into()),
            _ => None,
        }
    }

    fn model(yaml: &str) -> ModelConfiguration {
        Configuration::from_yaml(yaml, &environment).unwrap().model
    }

    fn problems(yaml: &str) -> Vec<String> {
        let error = Configuration::from_yaml(yaml, &environment).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        error.problems().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_key_is_read_and_no_key_is_shown() {
        let configuration = Configuration::from_yaml(WHOLE, &environment).unwrap();
        assert!(!format!("{configuration:?}").contains("canary"));
        let ModelConfiguration::Responses(config) = configuration.model else { panic!("{configuration:?}") };
        assert_eq!(
            (config.base_url.as_str(), config.model.as_str()),
            ("http://localhost:8321/v1", "llama3.2:3b")
        );
        assert_eq!(config.provider.as_deref(), Some("ollama"));
        assert_eq!(config.api_key.unwrap().expose_secret(), "canary-model");
        let timeouts = [config.connect_timeout, config.idle_timeout, config.request_timeout];
        assert_eq!(timeouts, [1, 2, 3].map(Duration::from_secs));
        assert_eq!(
            (config.history_turns, config.history_max_bytes, config.max_output_bytes),
            (0, 1024, 2048)
        );
        let stack = configuration.llama_stack.unwrap();
        assert_eq!((stack.url.as_str(), stack.timeout), ("http://localhost:8321", Duration::from_secs(4)));
        assert!(stack.history_fallback && stack.api_key.unwrap().expose_secret() == "canary-stack");
    }

    #[test]
    fn nothing_said_is_the_echo_agent_and_an_address_alone_is_a_model() {
        for yaml in ["", "persistence: {model: {}}", "persistence: {model: {type: echo, base_url: x}}"] {
            assert!(matches!(model(yaml), ModelConfiguration::Echo), "{yaml}");
        }
        let yaml = "persistence: {model: {base_url: \"http://h/v1\", model: m}}";
        let ModelConfiguration::Responses(config) = model(yaml) else { panic!("it is the echo agent") };
        let documented = ResponsesConfig::new("http://h/v1", "m");
        assert_eq!(format!("{config:?}"), format!("{documented:?}"), "the defaults");
        assert!(Configuration::from_yaml(yaml, &environment).unwrap().llama_stack.is_none());
    }

    #[test]
    fn a_key_comes_from_a_file_too() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "canary-file\n").unwrap();
        let yaml = format!(
            "persistence: {{model: {{base_url: \"http://h/v1\", model: m, api_key_file: {}}}}}",
            file.display()
        );
        let ModelConfiguration::Responses(config) = model(&yaml) else { panic!("it is the echo agent") };
        assert_eq!(config.api_key.unwrap().expose_secret(), "canary-file");
    }

    #[test]
    fn all_that_is_wrong_comes_at_once_and_says_what_to_write() {
        let yaml = "
persistence:
  model:
    type: responses
    base_url: http://user:canary@h/v1
    api_key: canary
    api_key_file: /nowhere/key
    modell: m
    ca_cert_path: /nowhere/ca.pem
    idle_timeout: 0
    history_turns: 201
  llama_stack: {url: localhost, history_fallback: perhaps, timeout: 0}
";
        let problems = problems(yaml);
        for expected in [
            "persistence.model.modell: unknown key: did you mean model?",
            "persistence.model.base_url: there are credentials in it: write them as api_key or api_key_file",
            "persistence.model.model: there is none: write the name of a model that the server has",
            "persistence.model.idle_timeout: \"0\" is out of range: write a whole number of seconds from 1 to 3600",
            "persistence.model.history_turns: \"201\" is out of range: write a whole number of turns from 0 to 200",
            "persistence.model.api_key_file: api_key is set too: keep one of api_key and api_key_file",
            "persistence.model.ca_cert_path: /nowhere/ca.pem cannot be read (there is no such file): \
             write the path of a file with certificates in PEM form",
            "persistence.llama_stack.url: it is no URL: write one like http://localhost:8321/v1",
            "persistence.llama_stack.timeout: \"0\" is out of range: write a whole number of seconds from 1 to 3600",
            "persistence.llama_stack.history_fallback: \"perhaps\" is not known here: write true or false",
        ] {
            assert!(problems.iter().any(|problem| problem == expected), "{expected}\n{problems:#?}");
        }
        assert_eq!(problems.len(), 10, "{problems:#?}");
    }

    #[test]
    fn an_address_that_is_not_there_is_asked_for() {
        let expected = "there is none: write one like http://localhost:8321/v1";
        let found = problems("persistence: {model: {type: responses, model: m}, llama_stack: {timeout: 3}}");
        assert_eq!(
            found,
            ["persistence.model.base_url", "persistence.llama_stack.url"]
                .map(|key| format!("{key}: {expected}"))
        );
    }
}
