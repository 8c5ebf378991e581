//! Which model: from a provider and a name, as LCS has them, to the id that a server knows, and back.

use lcs_domain::agent::{AnswerOptions, Model};
use serde_json::Value;

use super::ResponsesConfig;
use crate::echo;

/// The provider of a model whose server names none, or names it in another way than `provider/model`: it is
/// known to the server by its name alone. Any other provider stands before the name, as OGX has it.
pub const UNNAMED_PROVIDER: &str = "openai-compatible";

/// The id that the server knows the model by.
pub(super) fn id(model: &Model) -> String {
    let Model { name, provider } = model;
    if provider == UNNAMED_PROVIDER { name.clone() } else { format!("{provider}/{name}") }
}

/// The configured model.
pub(super) fn default(config: &ResponsesConfig) -> Model {
    named(&config.model, config.provider.as_deref())
}

/// The model that is asked for, in a conversation that began with `model_id`. The configured name stands for
/// the configured model; any other name without a provider is an id of the server's.
pub(super) fn chosen(config: &ResponsesConfig, options: &AnswerOptions, model_id: &str) -> Model {
    let name = options.model.as_deref().unwrap_or(model_id);
    match &options.provider {
        Some(provider) => named(name, Some(provider)),
        // A conversation that the built-in agent began goes on with a real model.
        None if name == config.model || (options.model.is_none() && name == echo::MODEL) => default(config),
        None => named(name, None),
    }
}

fn named(name: &str, provider: Option<&str>) -> Model {
    Model { name: name.to_owned(), provider: provider.unwrap_or(UNNAMED_PROVIDER).to_owned() }
}

/// The models in a server's list that answer: not those that embed.
pub(super) fn listed(list: &Value) -> Vec<Model> {
    let models = list.get("data").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    models.iter().filter_map(listed_model).collect()
}

fn listed_model(entry: &Value) -> Option<Model> {
    let id = entry.get("id")?.as_str()?;
    let custom = |key| entry.get("custom_metadata")?.get(key)?.as_str();
    if custom("model_type").is_some_and(|kind| kind != "llm") {
        return None;
    }
    // A model that was registered under a name of its own is known by that name only.
    let of_provider = custom("provider_id")
        .and_then(|provider| Some((id.strip_prefix(provider)?.strip_prefix('/')?, provider)));
    Some(match of_provider {
        Some((name, provider)) => named(name, Some(provider)),
        None => named(id, None),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(provider: Option<&str>) -> ResponsesConfig {
        let provider = provider.map(str::to_owned);
        ResponsesConfig { provider, ..ResponsesConfig::new("http://h/v1", "llama3.2:3b") }
    }

    #[test]
    fn a_listed_model_is_asked_for_by_the_id_that_it_was_listed_with() {
        let ogx = |id: &str, kind: &str, provider: &str| {
            json!({ "id": id, "object": "model", "owned_by": "llama_stack",
                    "custom_metadata": { "model_type": kind, "provider_id": provider, "provider_resource_id": "x" } })
        };
        let ids = ["ollama/llama3.2:3b", "vllm/meta/llama", "my-alias", "meta/llama", "ollamas/x", "plain"];
        let list = json!({ "object": "list", "data": [
            ogx(ids[0], "llm", "ollama"),
            ogx("ollama/embed", "embedding", "ollama"),
            ogx(ids[1], "llm", "vllm"),
            ogx(ids[2], "llm", "ollama"),
            { "id": ids[3], "object": "model", "owned_by": "vllm" },
            ogx(ids[4], "llm", "ollama"),
            { "id": ids[5], "custom_metadata": null },
            { "object": "model" },
            7,
        ]});
        let models = listed(&list);
        assert_eq!(models.iter().map(id).collect::<Vec<_>>(), ids);
        assert_eq!(models[0], named("llama3.2:3b", Some("ollama")));
        assert_eq!(models[1], named("meta/llama", Some("vllm")));
        assert_eq!(models[2], named("my-alias", None));
        for odd in [json!(null), json!([]), json!({ "data": 1 })] {
            assert_eq!(listed(&odd), []);
        }
    }

    #[test]
    fn what_is_asked_for_stands_before_what_the_conversation_began_with() {
        let ask = |model: Option<&str>, provider: Option<&str>, model_id: &str| {
            let (model, provider) = (model.map(str::to_owned), provider.map(str::to_owned));
            let options = AnswerOptions { model, provider, ..AnswerOptions::default() };
            id(&chosen(&config(Some("ollama")), &options, model_id))
        };
        assert_eq!(ask(None, None, "llama3.2:3b"), "ollama/llama3.2:3b");
        assert_eq!(ask(None, None, "echo"), "ollama/llama3.2:3b");
        assert_eq!(ask(None, None, "openai/gpt"), "openai/gpt");
        assert_eq!(ask(Some("gpt"), Some("openai"), "llama3.2:3b"), "openai/gpt");
        assert_eq!(ask(Some("meta/llama"), Some(UNNAMED_PROVIDER), "x"), "meta/llama");
        assert_eq!(ask(Some("llama3.2:3b"), None, "x"), "ollama/llama3.2:3b");
        assert_eq!(ask(Some("echo"), None, "x"), "echo");
        assert_eq!(id(&default(&config(None))), "llama3.2:3b");
    }
}
