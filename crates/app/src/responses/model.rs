//! Which model: from a provider and a name, as LCS has them, to the id that a server knows, and back.

use lcs_domain::Turn;
use lcs_domain::agent::{Model, Usage};
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

/// The model that is called `name` alone: the configured one, or one in the server's list; any other name is
/// taken for an id of the server's. A conversation that the built-in agent began goes on with a real model.
pub(super) fn called(config: &ResponsesConfig, name: &str, listed: &[Model]) -> Model {
    if is_default(config, name) {
        return default(config);
    }
    let by_id = listed.iter().find(|model| id(model) == name);
    let listed = by_id.or_else(|| listed.iter().find(|model| model.name == name));
    listed.cloned().unwrap_or_else(|| named(name, None))
}

/// Whether `name` stands for the configured model.
pub(super) fn is_default(config: &ResponsesConfig, name: &str) -> bool {
    name == config.model || name == echo::MODEL
}

/// The model that the newest of `turns` was answered with, where that is noted and was no built-in one.
pub(super) fn last_of(turns: &[Turn]) -> Option<Model> {
    turns.iter().rev().find_map(|turn| {
        let notes = turn.metadata.to_object().ok()?;
        let note = |key| notes.get(key).and_then(Value::as_str);
        note(Usage::MODEL)
            .map(|name| named(name, note(Usage::PROVIDER)))
            .filter(|model| model.provider != echo::MODEL)
    })
}

pub(super) fn named(name: &str, provider: Option<&str>) -> Model {
    Model { name: name.to_owned(), provider: provider.unwrap_or(UNNAMED_PROVIDER).to_owned() }
}

/// The model that answered.
pub(super) fn of_usage(usage: &Usage) -> Option<Model> {
    usage.model.as_deref().map(|name| named(name, usage.provider.as_deref()))
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
    fn a_name_alone_is_the_configured_model_s_a_listed_one_s_or_an_id() {
        let listed = [named("gpt", Some("openai")), named("meta/llama", None), named("x", Some("meta"))];
        let asked = |name: &str| id(&called(&config(Some("ollama")), name, &listed));
        assert_eq!(asked("llama3.2:3b"), "ollama/llama3.2:3b");
        assert_eq!(asked("echo"), "ollama/llama3.2:3b");
        assert_eq!(asked("gpt"), "openai/gpt");
        assert_eq!(asked("openai/gpt"), "openai/gpt");
        assert_eq!(asked("meta/llama"), "meta/llama");
        assert_eq!(asked("meta/x"), "meta/x");
        assert_eq!(asked("unknown"), "unknown");
        assert_eq!(id(&default(&config(None))), "llama3.2:3b");
        assert_eq!(id(&named("meta/llama", Some(UNNAMED_PROVIDER))), "meta/llama");
    }
}
