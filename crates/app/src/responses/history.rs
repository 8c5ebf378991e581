//! What the model sees again of the turns before: the newest ones, within a number and a size.
//!
//! Always an unbroken run up to the newest turn, decided by the turns alone: whether they were pushed one
//! by one while the agent lived, or all at once when it was made again, the same ones are left.

use std::collections::VecDeque;

use lcs_domain::Payload;
use serde_json::Value;

use super::message::{self, Attachments};

/// The turns that are sent again.
#[derive(Debug)]
pub(super) struct History {
    turns: VecDeque<Past>,
    size_bytes: usize,
    max_turns: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct Past {
    items: Vec<Value>,
    size_bytes: usize,
}

impl History {
    pub(super) fn new(max_turns: usize, max_bytes: usize) -> Self {
        Self { turns: VecDeque::new(), size_bytes: 0, max_turns, max_bytes }
    }

    /// Takes in the next turn. A turn that is too large with its attachments is kept without them; one that a
    /// host has stored in another form counts, and there is nothing of it to send.
    pub(super) fn push(&mut self, input_messages: &Payload, output_message: Option<&Payload>) {
        let mut past = Past::new(input_messages, output_message, Attachments::Sent);
        if past.size_bytes > self.max_bytes {
            past = Past::new(input_messages, output_message, Attachments::Mentioned);
        }
        self.size_bytes += past.size_bytes;
        self.turns.push_back(past);
        while self.turns.len() > self.max_turns || self.size_bytes > self.max_bytes {
            let Some(oldest) = self.turns.pop_front() else { return };
            self.size_bytes -= oldest.size_bytes;
        }
    }

    /// The input items of all of them, the oldest first.
    pub(super) fn items(&self) -> impl Iterator<Item = &Value> {
        self.turns.iter().flat_map(|past| &past.items)
    }
}

impl Past {
    fn new(input_messages: &Payload, output_message: Option<&Payload>, attachments: Attachments) -> Self {
        let mut items = message::asked(input_messages, attachments).unwrap_or_default();
        items.extend(output_message.and_then(message::answered));
        let size_bytes = items.iter().map(|item| item.to_string().len()).sum();
        Self { items, size_bytes }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn payload(value: &Value) -> Payload {
        Payload::from_value(value).unwrap()
    }

    /// A turn with a question and an answer of `size` bytes of text together.
    fn turn(n: usize, size: usize) -> (Payload, Payload) {
        let question = payload(&json!([{ "role": "user", "content": format!("{n:03}") }]));
        (question, payload(&json!({ "role": "assistant", "content": "x".repeat(size) })))
    }

    fn history(max_turns: usize, max_bytes: usize, turns: &[(Payload, Payload)]) -> Vec<Value> {
        let mut history = History::new(max_turns, max_bytes);
        for (question, answer) in turns {
            history.push(question, Some(answer));
        }
        history.items().cloned().collect()
    }

    #[test]
    fn only_so_many_turns_and_bytes_are_kept_the_newest() {
        let turns: Vec<_> = (0..10).map(|n| turn(n, 100)).collect();
        assert_eq!(history(3, 10_000, &turns), history(99, 10_000, &turns[7..]));
        assert_eq!(history(0, 10_000, &turns), Vec::<Value>::new());
        // Each has 168 bytes.
        assert_eq!(history(99, 400, &turns), history(99, 10_000, &turns[8..]));
        assert_eq!(history(99, 100, &turns), Vec::<Value>::new());
    }

    #[test]
    fn the_newest_turns_alone_make_the_same_history_as_all_of_them() {
        for seed in 0..200_usize {
            let sizes = (0..30).map(|n| (seed * 7919 + n * 104_729) % 331);
            let turns: Vec<_> = sizes.enumerate().map(|(n, size)| turn(n, size)).collect();
            let (max_turns, max_bytes) = (seed % 12, 300 + seed * 5);
            let newest = turns.len() - max_turns;
            assert_eq!(
                history(max_turns, max_bytes, &turns),
                history(max_turns, max_bytes, &turns[newest..]),
                "{seed}"
            );
        }
    }

    #[test]
    fn a_turn_that_is_too_large_with_its_attachments_is_kept_without_them() {
        let attachment =
            json!({ "attachment_type": "image", "content_type": "image/png", "content": "A".repeat(999) });
        let question = json!([{ "role": "user", "content": "What is this?", "attachments": [attachment] }]);
        let turns = [turn(1, 10), (payload(&question), turn(2, 10).1)];
        let kept = history(9, 600, &turns);
        assert_eq!(kept.len(), 4, "{kept:?}");
        assert!(kept[2]["content"].as_str().unwrap().ends_with("image/png]\n(not shown again)"));
    }

    #[test]
    fn a_turn_in_another_form_counts_and_says_nothing() {
        let odd = (payload(&json!({ "prompt": 1 })), payload(&json!(["x"])));
        assert_eq!(history(2, 999, &[turn(1, 5), odd, turn(2, 5)]).len(), 2);
    }
}
