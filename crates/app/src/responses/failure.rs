//! What a model's server refuses or fails at, as an agent's failure. Its own words are read, to tell one
//! failure from another, and never repeated: they may quote what was said.

use lcs_domain::agent::{AgentError, AgentFailure};
use reqwest::StatusCode;
use serde_json::Value;

/// The failure behind an answer with this status and body.
pub(super) fn of_status(status: StatusCode, body: &[u8]) -> AgentError {
    let told = serde_json::from_slice(body).map(|body: Value| Told::of(&body)).unwrap_or_default();
    let code = status.as_u16();
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            AgentError::new(format!("the model's server refuses the api key ({code}): check api_key"))
        }
        StatusCode::NOT_FOUND => model_not_found(),
        StatusCode::PAYLOAD_TOO_LARGE => prompt_too_long(),
        StatusCode::TOO_MANY_REQUESTS => quota_exceeded(),
        StatusCode::REQUEST_TIMEOUT => unavailable(&format!("is unavailable ({code})")),
        _ if status.is_server_error() => unavailable(&format!("is unavailable ({code})")),
        _ if status.is_redirection() => {
            AgentError::new(format!("the model's server sends us elsewhere ({code}): check base_url"))
        }
        _ => told
            .failure()
            .unwrap_or_else(|| AgentError::new(format!("the model's server refuses the request ({code})"))),
    }
}

/// The failure that an event or a response in an otherwise good answer tells of: the object with the error, or the error.
pub(super) fn told_by(value: &Value) -> AgentError {
    let told = Told::of(value);
    told.failure().unwrap_or_else(|| match told.code.as_str() {
        "server_error" | "internal_error" | "500" | "502" | "503" | "504" => {
            unavailable("failed within its answer")
        }
        _ => AgentError::new("the model failed within its answer"),
    })
}

/// An answer that is none, although the server says that all is well.
pub(super) fn unintelligible(what: &str) -> AgentError {
    AgentError::new(format!("the model's server sent {what}: is base_url that of a Responses API?"))
}

fn unavailable(how: &str) -> AgentError {
    AgentError::of(AgentFailure::Unavailable, format!("the model's server {how}"))
}

fn model_not_found() -> AgentError {
    let reason = "the model's server has no such model, or base_url is not that of a Responses API";
    AgentError::of(AgentFailure::ModelNotFound, reason)
}

fn prompt_too_long() -> AgentError {
    AgentError::of(AgentFailure::PromptTooLong, "the input is longer than the model's context")
}

fn quota_exceeded() -> AgentError {
    AgentError::of(AgentFailure::QuotaExceeded, "the model's provider allows no more requests for now")
}

/// What a server says of its failure.
#[derive(Debug, Default)]
struct Told {
    code: String,
    message: String,
}

impl Told {
    /// From `{"error": {...}}`, `{"detail": ...}`, or the inner object itself.
    fn of(value: &Value) -> Self {
        let error =
            ["error", "detail"].iter().find_map(|key| value.get(key).filter(|error| !error.is_null()));
        let error = error.unwrap_or(value);
        let text = |key: &str| match error.get(key) {
            Some(Value::String(text)) => text.to_lowercase(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        };
        let message = error.as_str().map_or_else(|| text("message"), str::to_lowercase);
        Self { code: text("code"), message }
    }

    fn failure(&self) -> Option<AgentError> {
        // Servers agree on no code for this one; these are the words of OpenAI, vLLM and OGX.
        let too_long = ["context_length", "context length", "context window", "prompt is too long"];
        let has = |words: &[&str], text: &str| words.iter().any(|word| text.contains(word));
        match self.code.as_str() {
            "context_length_exceeded" | "string_above_max_length" => Some(prompt_too_long()),
            "rate_limit_exceeded" | "insufficient_quota" | "429" => Some(quota_exceeded()),
            "model_not_found" | "404" => Some(model_not_found()),
            _ if has(&too_long, &self.message) => Some(prompt_too_long()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_status_is_its_failure_and_nothing_of_the_body_is_repeated() {
        let too_long = json!({ "error": { "code": "context_length_exceeded", "message": "canary" } });
        let vllm = json!({ "object": "error", "message": "This model's maximum context length is 8 canary", "code": 400 });
        let ogx = json!({ "detail": "Model canary: context window exceeded" });
        let no_model = json!({ "error": { "code": "model_not_found", "message": "canary" } });
        let canary = json!({ "error": { "message": "canary", "param": "canary" } });
        for (code, body, failure) in [
            (400, &too_long, AgentFailure::PromptTooLong),
            (400, &vllm, AgentFailure::PromptTooLong),
            (422, &ogx, AgentFailure::PromptTooLong),
            (413, &canary, AgentFailure::PromptTooLong),
            (400, &no_model, AgentFailure::ModelNotFound),
            (404, &canary, AgentFailure::ModelNotFound),
            (400, &canary, AgentFailure::Other),
            (401, &canary, AgentFailure::Other),
            (403, &canary, AgentFailure::Other),
            (302, &canary, AgentFailure::Other),
            (429, &canary, AgentFailure::QuotaExceeded),
            (500, &canary, AgentFailure::Unavailable),
            (503, &json!("canary"), AgentFailure::Unavailable),
        ] {
            let error = of_status(StatusCode::from_u16(code).unwrap(), body.to_string().as_bytes());
            assert_eq!(error.failure, failure, "{code}: {error}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        assert_eq!(of_status(StatusCode::BAD_REQUEST, b"<html>").failure, AgentFailure::Other);
    }

    #[test]
    fn a_failure_within_an_answer_is_told_apart_by_its_code() {
        for (value, failure) in [
            (
                json!({ "type": "error", "code": "rate_limit_exceeded", "message": "canary" }),
                AgentFailure::QuotaExceeded,
            ),
            (json!({ "error": { "code": "server_error", "message": "canary" } }), AgentFailure::Unavailable),
            (json!({ "error": { "code": 429 } }), AgentFailure::QuotaExceeded),
            (json!({ "status": "failed", "error": null }), AgentFailure::Other),
            (json!(null), AgentFailure::Other),
        ] {
            let error = told_by(&value);
            assert_eq!(error.failure, failure, "{value}: {error}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }
}
