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
    let model = reader.text(NAME, &section.model);
    match model.as_deref().map(|model| Text::name(model, "")) {
        Some(Ok(_)) => {}
        Some(Err(_)) => reader.problem(NAME, "it is no name: write at most 512 bytes, and not only spaces"),
        None if section.model.is_some() => {}
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
            reader.problem(key, "there is none: write one like http://localhost:8321/v1")
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
