//! From the items of a conversation to turns like ours.

use lcs_domain::agent::AnswerPiece;
use serde_json::{Map, Value, json};

use super::Item;
use crate::responses::tool;

/// A turn that was taken over.
#[derive(Clone, PartialEq)]
pub struct AdoptedTurn {
    /// The id of the first item in it: the same each time the conversation is read.
    pub first_item_id: Option<String>,
    /// What was said to the model: `[{"role": "user", "content": "...", "attachments": [...]}]`.
    pub input_messages: Value,
    /// What it answered, where it did: an object with `role`, `content`, `tool_calls` and `tool_results`.
    pub output_message: Option<Value>,
}

impl std::fmt::Debug for AdoptedTurn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdoptedTurn").field("first_item_id", &self.first_item_id).finish_non_exhaustive()
    }
}

/// The turns that `items` make, oldest first. A user's message begins a turn, and so does whatever comes
/// before the first one; what the model said and what its tools did belong to the turn before them. An item
/// that no turn can hold (a model's reasoning, say) is left out, and counted in the log.
#[must_use]
pub fn turns_of(items: &[Item]) -> Vec<AdoptedTurn> {
    let mut turns: Vec<Draft> = Vec::new();
    let mut left_out = 0_usize;
    for item in items {
        let Some(part) = Part::of(&item.0, &mut left_out) else {
            left_out += 1;
            continue;
        };
        // What a system says before a question belongs to the question.
        let is_input = matches!(part, Part::Input(..));
        if turns.last().is_none_or(|turn| is_input && !turn.takes_input()) {
            turns.push(Draft { first_item_id: item.id().map(str::to_owned), ..Draft::default() });
        }
        if let Some(turn) = turns.last_mut() {
            turn.take(part);
        }
    }
    if left_out > 0 {
        tracing::warn!(left_out, items = items.len(), "parts of a Llama Stack's conversation are left out");
    }
    turns.into_iter().map(Draft::finish).collect()
}

/// What an item adds to a turn.
enum Part {
    /// A message to the model, and whether it is the user's.
    Input(Value, bool),
    Said(String),
    Tools(Vec<AnswerPiece>),
}

impl Part {
    fn of(item: &Value, left_out: &mut usize) -> Option<Self> {
        let kind = item.get("type").and_then(Value::as_str);
        if !matches!(kind, Some("message") | None) {
            return Some(tool::pieces(item)).filter(|pieces| !pieces.is_empty()).map(Self::Tools);
        }
        let role = item.get("role")?.as_str()?;
        let (text, attachments, unknown) = content(item.get("content")?)?;
        *left_out += unknown;
        match role {
            "assistant" => Some(Self::Said(text)),
            "user" | "system" | "developer" => {
                let mut message = Map::new();
                message.insert("role".to_owned(), role.into());
                message.insert("content".to_owned(), text.into());
                if !attachments.is_empty() {
                    message.insert("attachments".to_owned(), attachments.into());
                }
                Some(Self::Input(Value::Object(message), role == "user"))
            }
            _ => None,
        }
    }
}

/// The text of a message, its attachments, and how many of its parts are neither.
fn content(content: &Value) -> Option<(String, Vec<Value>, usize)> {
    if let Some(text) = content.as_str() {
        return Some((text.to_owned(), Vec::new(), 0));
    }
    let (mut text, mut attachments, mut unknown) = (String::new(), Vec::new(), 0);
    for part in content.as_array()? {
        let said = part.as_str().or_else(|| part.get("text").or_else(|| part.get("refusal"))?.as_str());
        if let Some(said) = said {
            text.push_str(said);
        } else if let Some(image) = image(part) {
            attachments.push(image);
        } else {
            unknown += 1;
        }
    }
    Some((text, attachments, unknown))
}

/// An image that stands in the message itself, as an attachment.
fn image(part: &Value) -> Option<Value> {
    let url = part.get("image_url")?.as_str()?;
    let (content_type, content) = url.strip_prefix("data:")?.split_once(";base64,")?;
    Some(json!({ "attachment_type": "image", "content_type": content_type, "content": content }))
}

#[derive(Default)]
struct Draft {
    first_item_id: Option<String>,
    input_messages: Vec<Value>,
    asked: bool,
    said: Vec<String>,
    tool_calls: Vec<Value>,
    tool_results: Vec<Value>,
}

impl Draft {
    /// Whether a message to the model still belongs here.
    const fn takes_input(&self) -> bool {
        !self.asked && !self.is_answered()
    }

    const fn is_answered(&self) -> bool {
        !(self.said.is_empty() && self.tool_calls.is_empty() && self.tool_results.is_empty())
    }

    fn take(&mut self, part: Part) {
        match part {
            Part::Input(message, asked) => {
                self.input_messages.push(message);
                self.asked |= asked;
            }
            Part::Said(text) => self.said.push(text),
            Part::Tools(pieces) => {
                for piece in pieces {
                    match piece {
                        AnswerPiece::ToolCall(call) => self.tool_calls.push(call),
                        AnswerPiece::ToolResult(result) => self.tool_results.push(result),
                        AnswerPiece::Text(text) => self.said.push(text),
                    }
                }
            }
        }
    }

    fn finish(self) -> AdoptedTurn {
        let output_message = self.is_answered().then(|| {
            let mut message = Map::new();
            message.insert("role".to_owned(), "assistant".into());
            message.insert("content".to_owned(), self.said.join("\n\n").into());
            for (key, values) in [("tool_calls", self.tool_calls), ("tool_results", self.tool_results)] {
                if !values.is_empty() {
                    message.insert(key.to_owned(), values.into());
                }
            }
            Value::Object(message)
        });
        let input_messages = Value::from(self.input_messages);
        AdoptedTurn { first_item_id: self.first_item_id, input_messages, output_message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: &str, role: &str, content: &Value) -> Value {
        json!({ "type": "message", "id": id, "role": role, "content": content, "status": "completed" })
    }

    fn turns(items: Vec<Value>) -> Vec<AdoptedTurn> {
        turns_of(&items.into_iter().map(Item::new).collect::<Vec<_>>())
    }

    fn user(text: &str) -> Value {
        json!([{ "role": "user", "content": text }])
    }

    fn assistant(text: &str) -> Value {
        json!({ "role": "assistant", "content": text })
    }

    /// As OGX lists it: messages in parts, a search in documents, a tool of an MCP server, the model's thoughts.
    #[test]
    fn a_conversation_of_ogx_becomes_turns() {
        let turns = turns(vec![
            item(
                "msg_1",
                "user",
                &json!([{ "type": "input_text", "text": "What is " }, { "type": "input_text", "text": "OGX?" }]),
            ),
            json!({ "type": "mcp_list_tools", "id": "mcpl_1", "server_label": "ocp", "tools": [{ "name": "pods" }] }),
            json!({ "type": "file_search_call", "id": "fs_1", "queries": ["OGX"], "status": "completed", "results": null }),
            json!({ "type": "reasoning", "id": "rs_1", "summary": [] }),
            item(
                "msg_2",
                "assistant",
                &json!([{ "type": "output_text", "text": "Llama Stack, renamed.", "annotations": [] }]),
            ),
            item("msg_3", "user", &json!("How many pods?")),
            json!({ "type": "function_call", "id": "fc_1", "call_id": "c1", "name": "pods", "arguments": "{}" }),
            json!({ "type": "function_call_output", "call_id": "c1", "output": "3" }),
            item("msg_4", "assistant", &json!([{ "type": "output_text", "text": "Looking..." }])),
            item("msg_5", "assistant", &json!([{ "type": "refusal", "refusal": "I may not say." }])),
            item("msg_6", "user", &json!("Why?")),
        ]);
        let ids: Vec<_> = turns.iter().map(|turn| turn.first_item_id.as_deref().unwrap()).collect();
        assert_eq!(ids, ["msg_1", "msg_3", "msg_6"]);
        assert_eq!(turns[0].input_messages, user("What is OGX?"));
        let expected = json!({
            "role": "assistant",
            "content": "Llama Stack, renamed.",
            "tool_calls": [
                { "id": "mcpl_1", "name": "mcp_list_tools", "args": { "server_label": "ocp" }, "type": "tool_call" },
                { "id": "fs_1", "name": "knowledge_search", "args": { "queries": ["OGX"] }, "type": "tool_call" },
            ],
            "tool_results": [
                { "id": "mcpl_1", "status": "success", "type": "tool_result", "round": 1,
                  "content": "{\"server_label\":\"ocp\",\"tools\":[{\"name\":\"pods\"}]}" },
                { "id": "fs_1", "status": "completed", "content": "", "type": "tool_result", "round": 1 },
            ],
        });
        assert_eq!(turns[0].output_message, Some(expected));
        let answer = turns[1].output_message.as_ref().unwrap();
        assert_eq!(answer["content"], "Looking...\n\nI may not say.");
        assert_eq!(answer["tool_results"][0]["content"], "3");
        assert_eq!((&turns[2].input_messages, &turns[2].output_message), (&user("Why?"), &None));
    }

    #[test]
    fn system_messages_belong_to_the_question_behind_them() {
        let turns = turns(vec![
            item("m1", "system", &json!("Be brief.")),
            item("m2", "user", &json!("One?")),
            item("m3", "user", &json!("Two?")),
            item("m4", "assistant", &json!("Yes.")),
            item("m5", "developer", &json!("Be long.")),
            item("m6", "user", &json!("Three?")),
        ]);
        let expected = [
            json!([{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "One?" }]),
            user("Two?"),
            json!([{ "role": "developer", "content": "Be long." }, { "role": "user", "content": "Three?" }]),
        ];
        assert_eq!(turns.iter().map(|turn| turn.input_messages.clone()).collect::<Vec<_>>(), expected);
        assert_eq!(turns[1].output_message, Some(assistant("Yes.")));
    }

    #[test]
    fn what_comes_before_any_question_is_kept_too() {
        let turns = turns(vec![item("m1", "assistant", &json!("Hello!")), item("m2", "user", &json!("Hi."))]);
        assert_eq!(
            (&turns[0].input_messages, &turns[0].output_message),
            (&json!([]), &Some(assistant("Hello!")))
        );
        assert_eq!(turns[1].input_messages, user("Hi."));
    }

    #[test]
    fn an_image_in_a_message_is_an_attachment() {
        let parts = json!([
            { "type": "input_text", "text": "What is this?" },
            { "type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,iVBORw0=" },
            { "type": "input_image", "image_url": "https://example.com/x.png" },
        ]);
        let image = json!({ "attachment_type": "image", "content_type": "image/png", "content": "iVBORw0=" });
        let expected = json!([{ "role": "user", "content": "What is this?", "attachments": [image] }]);
        assert_eq!(turns(vec![item("m1", "user", &parts)])[0].input_messages, expected);
    }

    #[test]
    fn odd_items_are_left_out_and_nothing_else_with_them() {
        let odd = [
            json!(1),
            json!({}),
            json!({ "type": "message" }),
            json!({ "type": "message", "role": "user" }),
            json!({ "type": "x" }),
            json!({ "role": "tool", "content": "x" }),
            json!({ "role": "user", "content": 1 }),
        ];
        assert_eq!(turns(odd.to_vec()), []);
        let mut items = odd.to_vec();
        items.insert(3, item("m1", "user", &json!("Hi.")));
        items.push(item("m2", "assistant", &json!("Hello.")));
        let turns = turns(items);
        assert_eq!((turns.len(), &turns[0].output_message), (1, &Some(assistant("Hello."))));
    }
}
