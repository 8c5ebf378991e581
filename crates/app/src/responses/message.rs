//! From the messages of a turn to the input items of a Responses API.

use lcs_domain::Payload;
use serde_json::{Value, json};

/// What becomes of the attachments of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attachments {
    /// They are sent with it: a text as a block behind the message, an image as an image.
    Sent,
    /// They are mentioned only.
    Mentioned,
}

/// The input items for `messages`, a list like `[{"role": "user", "content": "...", "attachments": [...]}]`;
/// `None` where it is no such list.
pub(super) fn asked(messages: &Payload, attachments: Attachments) -> Option<Vec<Value>> {
    let messages = messages.to_value().ok()?;
    let messages = messages.as_array().filter(|messages| !messages.is_empty())?;
    messages.iter().map(|message| item(message, attachments)).collect()
}

fn item(message: &Value, attachments: Attachments) -> Option<Value> {
    let role = message.get("role")?.as_str()?;
    if !matches!(role, "user" | "assistant" | "system" | "developer") {
        return None;
    }
    let mut text = vec![message.get("content")?.as_str()?.to_owned()];
    let mut images = Vec::new();
    for attachment in message.get("attachments").and_then(Value::as_array).into_iter().flatten() {
        let field = |key| attachment.get(key).and_then(Value::as_str);
        let (kind, content_type) = (field("attachment_type")?, field("content_type")?);
        text.push(format!("\n\n[Attachment: {kind}, {content_type}]"));
        let content = field("content")?;
        if attachments == Attachments::Mentioned {
            text.push("\n(not shown again)".to_owned());
        } else if content_type.starts_with("image/") {
            let image_url = format!("data:{content_type};base64,{content}");
            images.push(json!({ "type": "input_image", "detail": "auto", "image_url": image_url }));
        } else {
            text.push(format!("\n{content}"));
        }
    }
    let text = text.concat();
    if images.is_empty() {
        return Some(json!({ "role": role, "content": text }));
    }
    images.insert(0, json!({ "type": "input_text", "text": text }));
    Some(json!({ "role": role, "content": images }))
}

/// The input item for what the model answered; `None` where that is no text.
pub(super) fn answered(message: &Payload) -> Option<Value> {
    let message = message.to_value().ok()?;
    let text = message.get("content")?.as_str().filter(|text| !text.is_empty())?;
    Some(json!({ "role": "assistant", "content": text }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(messages: &Value, attachments: Attachments) -> Option<Vec<Value>> {
        asked(&Payload::from_value(messages).unwrap(), attachments)
    }

    #[test]
    fn messages_are_sent_as_they_are() {
        let messages = json!([
            { "role": "system", "content": "Be brief.", "note": 1 },
            { "role": "user", "content": "" },
        ]);
        let expected = vec![
            json!({ "role": "system", "content": "Be brief." }),
            json!({ "role": "user", "content": "" }),
        ];
        assert_eq!(items(&messages, Attachments::Sent), Some(expected));
    }

    #[test]
    fn attachments_are_sent_or_mentioned() {
        let messages = json!([{ "role": "user", "content": "Why?", "attachments": [
            { "attachment_type": "log", "content_type": "text/plain", "content": "line 1\nline 2" },
            { "attachment_type": "image", "content_type": "image/png", "content": "iVBORw0=" },
        ]}]);
        let text = "Why?\n\n[Attachment: log, text/plain]\nline 1\nline 2\n\n[Attachment: image, image/png]";
        let expected = json!({ "role": "user", "content": [
            { "type": "input_text", "text": text },
            { "type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,iVBORw0=" },
        ]});
        assert_eq!(items(&messages, Attachments::Sent), Some(vec![expected]));
        let text = "Why?\n\n[Attachment: log, text/plain]\n(not shown again)\n\n[Attachment: image, image/png]\n(not shown again)";
        let expected = json!({ "role": "user", "content": text });
        assert_eq!(items(&messages, Attachments::Mentioned), Some(vec![expected]));
    }

    #[test]
    fn what_is_no_list_of_messages_is_none() {
        for odd in [
            json!({}),
            json!([]),
            json!([1]),
            json!([{ "content": "x" }]),
            json!([{ "role": "user" }]),
            json!([{ "role": "tool", "content": "x" }]),
            json!([{ "role": "user", "content": ["x"] }]),
            json!([{ "role": "user", "content": "x", "attachments": [{}] }]),
        ] {
            assert_eq!(items(&odd, Attachments::Sent), None, "{odd}");
        }
    }

    #[test]
    fn only_an_answer_with_a_text_is_sent_back() {
        let sent = |message: Value| answered(&Payload::from_value(&message).unwrap());
        let expected = json!({ "role": "assistant", "content": "Yes." });
        assert_eq!(sent(json!({ "role": "assistant", "content": "Yes.", "tool_calls": [] })), Some(expected));
        for odd in [json!({ "content": "" }), json!({ "content": null }), json!("Yes."), json!({})] {
            assert_eq!(sent(odd), None);
        }
    }
}
