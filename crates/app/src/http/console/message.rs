//! A turn, as people read it: who said what, which tools were called, and the whole of it as it is stored.

use lcs_domain::{Conversation, Turn};
use maud::{Markup, html};
use serde_json::Value;

use super::super::history::{ChatTurn, Speaker};
use crate::report::text::{milliseconds, second};

/// How much of a message or document a page shows, in characters.
const SHOWN: usize = 4_000;
/// How many tool calls, results or documents of a turn it shows.
const ITEMS: usize = 20;

/// The beginning of `text`, and whether there is more.
pub(super) fn cut(text: &str) -> (&str, bool) {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => (text.get(..end).unwrap_or(text), true),
        None => (text, false),
    }
}

/// A stored document, folded.
pub(super) fn document(name: &str, json: &str, whole: &str) -> Markup {
    let pretty = serde_json::from_str::<Value>(json).and_then(|value| serde_json::to_string_pretty(&value));
    let pretty = pretty.as_deref().unwrap_or(json);
    let (shown, is_cut) = cut(pretty);
    html! {
        details {
            summary { (name) }
            pre tabindex="0" { (shown) @if is_cut { "…" } }
            @if is_cut { p .quiet { a href=(whole) { "All of it" } } }
        }
    }
}

/// A turn of the conversation whose page is at `path`.
pub(super) fn turn(turn: &Turn, conversation: &Conversation, path: &str) -> Markup {
    let raw = format!("{path}/turns/{}", turn.turn_number);
    let took = turn.completed_at.signed_duration_since(turn.started_at).num_milliseconds().max(0);
    let marks: Vec<&str> = [
        (turn.is_interrupted(), "interrupted: the answer was stopped before its end"),
        (turn.is_interleaved(), "interleaved: answered from a state that had moved on"),
        (turn.is_late(), "late: it came out of a journal"),
    ]
    .into_iter()
    .filter_map(|(is_marked, mark)| is_marked.then_some(mark))
    .collect();
    let read = ChatTurn::of(turn, conversation);
    html! {
        li .card id=(format!("turn-{}", turn.turn_number)) {
            p .turn-head .quiet {
                b { "Turn " (turn.turn_number) }
                span { (second(turn.completed_at)) }
                @if took > 0 { span { "in " (milliseconds(crate::report::text::float(took.unsigned_abs()))) } }
                @if let Ok(read) = &read { span { (read.model) @if read.provider != "N/A" { " (" (read.provider) ")" } } }
            }
            @for mark in marks { p .mark { (mark) } }
            @match &read {
                Ok(read) => { (said(read, &raw)) },
                Err(_) => p .error { "This turn cannot be read as messages: look at it as it is stored." },
            }
            p .quiet { a href=(raw) { "As it is stored" } span .unseen { ": turn " (turn.turn_number) } }
        }
    }
}

fn said(read: &ChatTurn, raw: &str) -> Markup {
    html! {
        @for message in read.messages.iter().take(ITEMS) {
            @let (class, name) = match message.kind {
                Speaker::User => ("user", "User"),
                Speaker::Assistant => ("assistant", "Assistant"),
                Speaker::System => ("system", "System"),
                Speaker::Developer => ("system", "Developer"),
            };
            @let (shown, is_cut) = cut(&message.content);
            div class=(format!("message {class}")) {
                p .speaker { (name) }
                @if shown.is_empty() { p .quiet { "nothing" } } @else { p .text { (shown) @if is_cut { "…" } } }
                @if is_cut { p .quiet { "It is longer: " a href=(raw) { "all of it" } "." } }
            }
        }
        @if read.messages.len() > ITEMS {
            p .quiet { (read.messages.len() - ITEMS) " more messages: " a href=(raw) { "all of them" } "." }
        }
        @for (name, values) in [("Tool call", &read.tool_calls), ("Tool result", &read.tool_results)] {
            @for value in values.iter().take(ITEMS) { (document(&tool(name, value), &value.to_string(), raw)) }
            @if values.len() > ITEMS { p .quiet { (values.len() - ITEMS) " more: " a href=(raw) { "all of them" } "." } }
        }
    }
}

/// What a tool is called, where it says so.
fn tool(kind: &str, value: &Value) -> String {
    let name = ["tool_name", "name", "id"].iter().find_map(|key| value.get(*key).and_then(Value::as_str));
    name.map_or_else(
        || kind.to_owned(),
        |name| format!("{kind}: {}", name.chars().take(80).collect::<String>()),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_said_is_text_and_is_cut() {
        let (shown, is_cut) = cut("short");
        assert_eq!((shown, is_cut), ("short", false));
        let long = "é".repeat(SHOWN + 1);
        let (shown, is_cut) = cut(&long);
        assert_eq!((shown.chars().count(), is_cut), (SHOWN, true));
        let page = document("<i>", "{\"a\":\"</pre><script>\"}", "/raw").into_string();
        assert!(page.contains("&lt;/pre&gt;&lt;script&gt;") && page.contains("&lt;i&gt;"), "{page}");
        assert!(document("", "no JSON <", "/raw").into_string().contains("no JSON &lt;"));
    }

    #[test]
    fn a_tool_is_called_by_its_name() {
        assert_eq!(tool("Tool call", &json!({"name": "search", "id": "1"})), "Tool call: search");
        assert_eq!(tool("Tool call", &json!({"x": 1})), "Tool call");
    }
}
