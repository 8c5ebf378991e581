//! LangChain's messages as LangGraph keeps them, and the items of turns that they are.
//!
//! In MessagePack a message is an extension that holds its module, its class and its fields; in JSON, an object with
//! `kwargs`. Nothing of what a class would do is done here: the fields are read.

use rmpv::Value as Packed;
use serde_json::{Map, Value, json};

use crate::llama_stack::Item;

/// How deep what is packed may nest.
const MAX_DEPTH: usize = 128;
/// The extensions that hold an object: built by its constructor or a method, or a model of Pydantic's.
const OBJECTS: std::ops::RangeInclusive<i8> = 0..=5;

/// The items that a thread's messages are.
pub(super) struct Items {
    pub(super) items: Vec<Item>,
    /// The model of the first answer, where it says so.
    pub(super) model: Option<String>,
}

/// The items in a channel of messages.
pub(super) fn items(encoding: &str, bytes: &[u8]) -> Result<Items, String> {
    let messages = match encoding {
        "msgpack" => unpacked(bytes, MAX_DEPTH)?,
        "json" => serde_json::from_slice(bytes).map_err(|_| "its messages are no JSON".to_owned())?,
        "null" | "empty" => Value::Array(Vec::new()),
        _ => return Err("its messages are neither in msgpack nor in json".to_owned()),
    };
    let Value::Array(messages) = messages else { return Err("its messages are no list".to_owned()) };
    let (mut items, mut model) = (Vec::new(), None);
    for (position, message) in messages.iter().enumerate() {
        let fields = message.get("kwargs").unwrap_or(message);
        let kind = kind(message, fields);
        let known = put(&mut items, kind.as_deref(), fields);
        known.ok_or_else(|| format!("its message {} is of no kind that is known", position + 1))?;
        if model.is_none() {
            let metadata = fields.get("response_metadata");
            let name = metadata.and_then(|noted| noted.get("model_name").or_else(|| noted.get("model")));
            model = name.and_then(Value::as_str).map(str::to_owned);
        }
    }
    Ok(Items { items, model })
}

/// `human`, `ai` and so on: what it says itself, else what its class says.
fn kind(message: &Value, fields: &Value) -> Option<String> {
    let said = fields.get("type").and_then(Value::as_str).filter(|kind| *kind != "constructor");
    let class = || {
        let class = message.get("id")?.as_array()?.last()?.as_str()?;
        Some(class.strip_suffix("Chunk").unwrap_or(class).strip_suffix("Message")?.to_lowercase())
    };
    said.map(str::to_owned).or_else(class)
}

/// Adds the items that a message is; `None` where it is of no known kind.
fn put(items: &mut Vec<Item>, kind: Option<&str>, fields: &Value) -> Option<()> {
    let content = fields.get("content").cloned().unwrap_or_default();
    let message = |role: &str| json!({ "type": "message", "role": role, "content": content });
    match kind? {
        "human" | "HumanMessageChunk" => items.push(Item::new(message("user"))),
        "system" => items.push(Item::new(message("system"))),
        "developer" => items.push(Item::new(message("developer"))),
        "ai" | "AIMessageChunk" => {
            if content.as_str().is_none_or(|text| !text.is_empty()) {
                items.push(Item::new(message("assistant")));
            }
            let calls = fields.get("tool_calls").and_then(Value::as_array);
            for call in calls.into_iter().flatten() {
                let arguments = call.get("args").cloned().unwrap_or_default().to_string();
                items.push(Item::new(json!({
                    "type": "function_call", "call_id": call.get("id"), "id": call.get("id"),
                    "name": call.get("name"), "arguments": arguments,
                })));
            }
        }
        "tool" | "function" => {
            let output = content.as_str().map_or_else(|| content.to_string(), str::to_owned);
            let id = fields.get("tool_call_id");
            items.push(Item::new(json!({ "type": "function_call_output", "call_id": id, "output": output })));
        }
        _ => return None,
    }
    Some(())
}

/// What is packed, as JSON: of an object of Python's, its fields.
fn unpacked(bytes: &[u8], depth: usize) -> Result<Value, String> {
    let depth = depth.checked_sub(1).ok_or("its messages nest too deep")?;
    let packed = rmpv::decode::read_value_with_max_depth(&mut &*bytes, MAX_DEPTH);
    json_of(packed.map_err(|_| "its messages are not well-formed msgpack")?, depth)
}

fn json_of(packed: Packed, depth: usize) -> Result<Value, String> {
    Ok(match packed {
        Packed::Nil => Value::Null,
        Packed::Boolean(value) => value.into(),
        Packed::Integer(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => number.into(),
            (None, number) => number.into(),
        },
        Packed::F32(number) => json!(number),
        Packed::F64(number) => json!(number),
        Packed::String(text) => text.into_str().ok_or("a text in its messages is not UTF-8")?.into(),
        Packed::Binary(_) => return Err("its messages hold bytes, which JSON does not".to_owned()),
        Packed::Array(values) => {
            let values = values.into_iter().map(|value| json_of(value, depth));
            Value::Array(values.collect::<Result<_, _>>()?)
        }
        Packed::Map(entries) => {
            let mut object = Map::new();
            for (key, value) in entries {
                let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
                object.insert(key, json_of(value, depth)?);
            }
            Value::Object(object)
        }
        Packed::Ext(kind, bytes) if OBJECTS.contains(&kind) => {
            // Its module, its class, and what it is made of.
            match unpacked(&bytes, depth)? {
                Value::Array(parts) => parts.into_iter().nth(2).unwrap_or_default(),
                _ => return Err("an object in its messages is not packed as LangGraph does it".to_owned()),
            }
        }
        Packed::Ext(..) => return Err("its messages hold an object of an unknown kind".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llama_stack::turns_of;

    fn text(text: &str) -> Packed {
        Packed::from(text)
    }

    /// A message as LangGraph packs it.
    fn packed(class: &str, fields: Vec<(&str, Packed)>) -> Packed {
        let fields = fields.into_iter().map(|(name, value)| (text(name), value)).collect();
        let parts = vec![
            text("langchain_core.messages"),
            text(class),
            Packed::Map(fields),
            text("model_validate_json"),
        ];
        Packed::Ext(5, bytes(&Packed::Array(parts)))
    }

    fn bytes(packed: &Packed) -> Vec<u8> {
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, packed).unwrap();
        bytes
    }

    #[test]
    fn packed_messages_become_turns() {
        let call = Packed::Map(vec![
            (text("name"), text("look")),
            (text("args"), Packed::Map(vec![(text("pod"), text("web-0"))])),
            (text("id"), text("call_1")),
            (text("type"), text("tool_call")),
        ]);
        let messages = Packed::Array(vec![
            packed("SystemMessage", vec![("content", text("be brief")), ("type", text("system"))]),
            packed("HumanMessage", vec![("content", text("why?")), ("type", text("human"))]),
            packed(
                "AIMessage",
                vec![
                    ("content", text("")),
                    ("type", text("ai")),
                    ("tool_calls", Packed::Array(vec![call])),
                    ("response_metadata", Packed::Map(vec![(text("model_name"), text("gpt-4o"))])),
                ],
            ),
            packed(
                "ToolMessage",
                vec![
                    ("content", text("it restarts")),
                    ("type", text("tool")),
                    ("tool_call_id", text("call_1")),
                ],
            ),
            packed("AIMessage", vec![("content", text("The probe fails.")), ("type", text("ai"))]),
        ]);
        let Items { items, model } = items("msgpack", &bytes(&messages)).unwrap();
        assert_eq!(model.as_deref(), Some("gpt-4o"));
        let turns = turns_of(&items);
        assert_eq!(turns.len(), 1);
        assert_eq!(turns[0].input_messages[1]["content"], "why?");
        let output = turns[0].output_message.as_ref().unwrap();
        assert_eq!(
            (&output["content"], &output["tool_calls"][0]["name"]),
            (&json!("The probe fails."), &json!("look"))
        );
        assert_eq!(output["tool_results"][0]["content"], "it restarts");
    }

    #[test]
    fn messages_in_json_are_read_by_their_class() {
        let messages = json!([{
            "lc": 2, "type": "constructor", "id": ["langchain_core", "messages", "human", "HumanMessage"],
            "kwargs": { "content": "hello" },
        }]);
        let Items { items, .. } = items("json", messages.to_string().as_bytes()).unwrap();
        assert_eq!(turns_of(&items)[0].input_messages, json!([{ "role": "user", "content": "hello" }]));
    }

    #[test]
    fn what_is_no_message_is_told_and_quoted_nowhere() {
        let nested = (0..200).fold(text("canary"), |inner, _| packed("X", vec![("content", inner)]));
        for bytes in [
            b"canary".to_vec(),
            bytes(&text("canary")),
            bytes(&Packed::Array(vec![text("canary")])),
            bytes(&Packed::Array(vec![packed("Canary", vec![("type", text("canary"))])])),
            bytes(&Packed::Array(vec![Packed::Ext(9, b"canary".to_vec())])),
            bytes(&Packed::Array(vec![nested])),
            vec![0xc1],
        ] {
            let reason = items("msgpack", &bytes).err().unwrap();
            assert!(!reason.contains("anary"), "{reason}");
        }
        assert!(items("pickle", b"canary").is_err());
    }
}
