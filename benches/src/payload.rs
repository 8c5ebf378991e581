//! What is stored: 64 variants of a turn and of an agent's state, of fixed sizes to the byte.
//!
//! A client holds them as a host would, as values of its own. Writing them as JSON and checking them is part of
//! each operation.

use serde_json::{Value, json};

use crate::choice::Generator;

/// How many variants there are.
pub const VARIANTS: usize = 64;

/// The words that all texts are made of.
const WORDS: [&str; 64] = [
    "the", "of", "and", "to", "in", "is", "you", "that", "it", "he", "was", "for", "on", "are", "as", "with",
    "his", "they", "at", "be", "this", "have", "from", "or", "one", "had", "by", "word", "but", "not",
    "what", "all", "were", "we", "when", "your", "can", "said", "there", "use", "an", "each", "which", "she",
    "do", "how", "their", "if", "will", "up", "other", "about", "out", "many", "then", "them", "these", "so",
    "some", "her", "would", "make", "like", "him",
];

/// One variant: what a turn and an agent's state are made of.
#[derive(Debug, Clone)]
pub struct Payloads {
    /// What was said: 1,024 bytes of JSON.
    pub input_messages: Value,
    /// What was answered: 2,048 bytes.
    pub output_message: Value,
    /// What is noted beside a turn or a conversation: 200 bytes.
    pub metadata: Value,
    /// What the agent is configured with: 2,048 bytes.
    pub agent_config: Value,
    /// What the agent remembers: 4,096 bytes.
    pub current_state: Value,
}

impl Payloads {
    /// The payloads of this variant.
    #[must_use]
    pub fn of(variant: u64) -> Self {
        let seed = variant * 8;
        Self {
            input_messages: fit(seed, 1_024, |text| json!([{ "role": "user", "content": text }])),
            output_message: fit(
                seed + 1,
                2_048,
                |text| json!({ "role": "assistant", "stop_reason": "end_of_turn", "content": text }),
            ),
            metadata: fit(seed + 2, 200, |text| {
                json!({
                    "provider": "openai",
                    "model": "gpt-4o-mini",
                    "input_tokens": 512,
                    "output_tokens": 384,
                    "trace": text,
                })
            }),
            agent_config: fit(seed + 3, 2_048, |text| {
                json!({
                    "model": "gpt-4o-mini",
                    "sampling_params": { "temperature": 0.7, "max_tokens": 4096 },
                    "toolgroups": ["builtin::rag", "builtin::websearch"],
                    "instructions": text,
                })
            }),
            current_state: fit(
                seed + 4,
                4_096,
                |text| json!({ "session_id": "s-1", "step": 3, "pending": [], "scratchpad": text }),
            ),
        }
    }

    /// All variants, in order.
    #[must_use]
    pub fn all() -> Vec<Self> {
        (0..VARIANTS as u64).map(Self::of).collect()
    }

    /// The five documents, in the order of their fields.
    #[must_use]
    pub const fn documents(&self) -> [&Value; 5] {
        let Self { input_messages, output_message, metadata, agent_config, current_state } = self;
        [input_messages, output_message, metadata, agent_config, current_state]
    }
}

/// What `make` makes of a text that is as long as it takes for `size` bytes of JSON.
fn fit(seed: u64, size: usize, make: impl Fn(&str) -> Value) -> Value {
    let around = make("").to_string().len();
    make(&text(seed, size.saturating_sub(around)))
}

/// `size` bytes of words.
fn text(seed: u64, size: usize) -> String {
    let mut generator = Generator::new(seed);
    let mut text = String::with_capacity(size + 16);
    while text.len() <= size {
        #[expect(clippy::cast_possible_truncation, reason = "below 64")]
        let word = generator.below(WORDS.len() as u64) as usize;
        text.push_str(WORDS.get(word).copied().unwrap_or_default());
        text.push(' ');
    }
    text.truncate(size);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use md5::{Digest, Md5};

    #[test]
    fn the_sizes_are_kept_to_the_byte() {
        for payloads in Payloads::all() {
            let sizes = payloads.documents().map(|document| document.to_string().len());
            assert_eq!(sizes, [1_024, 2_048, 200, 2_048, 4_096]);
        }
    }

    #[test]
    fn texts_are_those_of_the_other_languages() {
        assert_eq!(text(0, 60), "him it they out how word these that were word with at you ma");
        assert_eq!(text(8 * 63 + 4, 60), "up you have the as on as the were their if in said the if th");
    }

    #[test]
    fn every_document_is_that_of_the_other_languages() {
        // Keys sorted, no white space, a line each: as Python's `json.dumps(…, sort_keys=True)` writes them.
        let mut hash = Md5::new();
        for payloads in Payloads::all() {
            for document in payloads.documents() {
                hash.update(document.to_string());
                hash.update("\n");
            }
        }
        assert_eq!(
            uuid::Uuid::from_bytes(hash.finalize().into()).simple().to_string(),
            "d561049f0b6f6b0c645bfcbfb1eb4af5"
        );
    }
}
