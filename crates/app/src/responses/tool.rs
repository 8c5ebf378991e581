//! Tool calls and their results, from the items of a Responses API to what LCS makes of them.

use lcs_domain::agent::AnswerPiece;
use serde_json::{Map, Value, json};

/// What LCS calls the search in a vector store.
const FILE_SEARCH: &str = "knowledge_search";

/// What the item says of tools: a call, a result, or both. Nothing where it is no tool's.
pub(crate) fn pieces(item: &Value) -> Vec<AnswerPiece> {
    let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
    let id = text("id");
    match text("type") {
        "function_call" => vec![call(text("call_id"), text("name"), &arguments(item))],
        "function_call_output" => {
            let status = item.get("status").and_then(Value::as_str).unwrap_or("success");
            vec![result(text("call_id"), status, &output(item))]
        }
        "mcp_call" => {
            let mut args = arguments(item);
            if let Some(label) = item.get("server_label").filter(|label| label.is_string()) {
                args.insert("server_label".to_owned(), label.clone());
            }
            let error = item.get("error").filter(|error| !error.is_null());
            let (status, content) = match error {
                Some(error) => ("failure", as_text(error)),
                None => ("success", output(item)),
            };
            vec![call(id, text("name"), &args), result(id, status, &content)]
        }
        "file_search_call" => {
            let queries = item.get("queries").cloned().unwrap_or_else(|| json!([]));
            let args = Map::from_iter([("queries".to_owned(), queries)]);
            let results = item.get("results").filter(|results| !results.is_null());
            let content = results.map(|results| json!({ "results": results }).to_string());
            vec![call(id, FILE_SEARCH, &args), result(id, text("status"), &content.unwrap_or_default())]
        }
        "web_search_call" => {
            vec![call(id, "web_search", &Map::new()), result(id, text("status"), "")]
        }
        "mcp_list_tools" => {
            let args = Map::from_iter([("server_label".to_owned(), json!(text("server_label")))]);
            let tools = json!({ "server_label": text("server_label"), "tools": item.get("tools") });
            vec![call(id, "mcp_list_tools", &args), result(id, "success", &tools.to_string())]
        }
        "mcp_approval_request" => vec![call(id, text("name"), &arguments(item))],
        "mcp_approval_response" => {
            let approved = item.get("approve").and_then(Value::as_bool).unwrap_or(false);
            let reason = item.get("reason").filter(|reason| reason.is_string());
            let content = reason.map_or_else(|| json!({}), |reason| json!({ "reason": reason })).to_string();
            vec![result(text("approval_request_id"), if approved { "success" } else { "denied" }, &content)]
        }
        _ => Vec::new(),
    }
}

fn call(id: &str, name: &str, args: &Map<String, Value>) -> AnswerPiece {
    AnswerPiece::ToolCall(json!({ "id": id, "name": name, "args": args, "type": "tool_call" }))
}

fn result(id: &str, status: &str, content: &str) -> AnswerPiece {
    let result = json!({ "id": id, "status": status, "content": content, "type": "tool_result", "round": 1 });
    AnswerPiece::ToolResult(result)
}

/// The arguments, which come as a text that holds an object. Another text is kept as it is, under `args`.
fn arguments(item: &Value) -> Map<String, Value> {
    let text = item.get("arguments").and_then(Value::as_str).unwrap_or_default();
    match serde_json::from_str(text) {
        Ok(Value::Object(arguments)) => arguments,
        _ if text.trim().is_empty() => Map::new(),
        _ => Map::from_iter([("args".to_owned(), Value::from(text))]),
    }
}

fn output(item: &Value) -> String {
    item.get("output").filter(|output| !output.is_null()).map(as_text).unwrap_or_default()
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call_of(id: &str, name: &str, args: &Value) -> AnswerPiece {
        AnswerPiece::ToolCall(json!({ "id": id, "name": name, "args": args, "type": "tool_call" }))
    }

    #[test]
    fn each_kind_of_tool_is_a_call_a_result_or_both() {
        let item = json!({ "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather",
                           "arguments": "{\"city\":\"Graz\"}", "status": "completed" });
        assert_eq!(pieces(&item), [call_of("call_1", "weather", &json!({ "city": "Graz" }))]);
        let item = json!({ "type": "function_call_output", "call_id": "call_1", "output": "12 degrees" });
        assert_eq!(pieces(&item), [result("call_1", "success", "12 degrees")]);
        let item = json!({ "type": "mcp_call", "id": "mcp_1", "name": "pods", "server_label": "ocp",
                           "arguments": "", "output": "3 pods", "error": null });
        let expected = [
            call_of("mcp_1", "pods", &json!({ "server_label": "ocp" })),
            result("mcp_1", "success", "3 pods"),
        ];
        assert_eq!(pieces(&item), expected);
        let item = json!({ "type": "mcp_call", "id": "mcp_2", "name": "pods", "arguments": "{}", "error": "denied" });
        assert_eq!(pieces(&item)[1], result("mcp_2", "failure", "denied"));
        let item = json!({ "type": "file_search_call", "id": "fs_1", "queries": ["q"], "status": "completed",
                           "results": [{ "text": "t" }] });
        let expected = [
            call_of("fs_1", "knowledge_search", &json!({ "queries": ["q"] })),
            result("fs_1", "completed", r#"{"results":[{"text":"t"}]}"#),
        ];
        assert_eq!(pieces(&item), expected);
        let item = json!({ "type": "web_search_call", "id": "ws_1", "status": "completed" });
        assert_eq!(pieces(&item)[1], result("ws_1", "completed", ""));
        let item = json!({ "type": "mcp_approval_response", "approval_request_id": "a", "approve": false });
        assert_eq!(pieces(&item), [result("a", "denied", "{}")]);
    }

    #[test]
    fn what_is_no_tool_s_is_nothing_and_odd_arguments_are_kept() {
        for item in [json!({ "type": "message" }), json!({ "type": "reasoning" }), json!(1), json!({})] {
            assert_eq!(pieces(&item), []);
        }
        let item = json!({ "type": "function_call", "call_id": "c", "name": "n", "arguments": "[1" });
        assert_eq!(pieces(&item), [call_of("c", "n", &json!({ "args": "[1" }))]);
        let item = json!({ "type": "function_call" });
        assert_eq!(pieces(&item), [call_of("", "", &json!({}))]);
    }
}
