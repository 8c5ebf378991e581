//! What a client asks of a replica, whatever stands behind it.

use std::error::Error;
use std::hash::{DefaultHasher, Hash, Hasher};

use async_trait::async_trait;
use lcs_domain::Durability;
use serde_json::{Value, json};

use super::history::{Element, Page, Placed, Seen, Turn};

/// Why a run cannot go on, in one sentence.
pub type Failure = Box<dyn Error + Send + Sync>;

/// What a replica answered, and how durable that is.
pub type Reply<T> = Result<(T, Durability), Refusal>;

/// Why an operation was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Certainly not done; it may be sent again.
    NotDone(String),
    /// Perhaps done; the same key finds it out.
    Unknown(String),
    /// There is no such conversation.
    Absent,
    /// Something else was there first.
    Conflict,
    /// An answer that no server may give.
    Wrong(String),
}

/// A conversation, as its replicas name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Its number in this run.
    pub number: u64,
    /// Whose it is.
    pub user: u32,
    /// Its id.
    pub id: String,
    /// Its agent's id.
    pub agent: String,
}

/// A turn to be appended.
#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    /// What it is made of; it is its key as well.
    pub element: Element,
    /// What is said.
    pub content: Value,
    /// The revision that the agent's state was made from, where one goes with it.
    pub state_from: Option<u64>,
}

impl Append {
    /// The turn of `element`, with a text that `length` says how long is.
    #[must_use]
    pub fn new(element: Element, length: usize, state_from: Option<u64>) -> Self {
        let content = json!({ MARKER: element, "text": "word ".repeat(length) });
        Self { element, content, state_from }
    }

    /// A hash of what is said.
    #[must_use]
    pub fn digest(&self) -> u64 {
        digest(&self.content)
    }
}

/// Stands in every append, and in nothing else: the proxy knows appends by it.
pub const MARKER: &str = "chaos-element";

/// A hash of a document.
#[must_use]
pub fn digest(content: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    // Field by field: stores put them in an order of their own.
    let text = content.get("text").and_then(Value::as_str);
    (content.get(MARKER).and_then(Value::as_u64), text, content.as_object().map(serde_json::Map::len))
        .hash(&mut hasher);
    hasher.finish()
}

/// The turn that a stored document is; its element is 0 where it is none of ours.
#[must_use]
pub fn turn(number: u32, content: &Value) -> Turn {
    let element = content.get(MARKER).and_then(Value::as_u64).unwrap_or_default();
    Turn { number, element, digest: digest(content) }
}

/// The document of an agent's state.
#[must_use]
pub fn state(element: Element) -> Value {
    json!({ "element": element })
}

/// What an agent's state was made of.
#[must_use]
pub fn element_of_state(state: &Value) -> Element {
    state.get("element").and_then(Value::as_u64).unwrap_or_default()
}

/// One of several that share a store. Each method is one try.
#[async_trait]
pub trait Replica: Send + Sync {
    /// Begins conversation `number` of `user`; again, it is the same one.
    async fn create(&self, user: u32, number: u64) -> Reply<Conversation>;

    /// Appends a turn.
    async fn append(&self, conversation: &Conversation, append: &Append) -> Reply<Placed>;

    /// Reads turns: those behind `after`, or the newest. As `user`, who may be another than the owner.
    async fn read(
        &self,
        user: u32,
        conversation: &Conversation,
        after: Option<u32>,
        limit: u32,
    ) -> Reply<Page>;

    /// Reads the agent's state.
    async fn state(&self, user: u32, conversation: &Conversation) -> Reply<Seen>;

    /// Saves an agent's state of `element` that was made from revision `from`, and has seen `through_turn` turns.
    async fn put(
        &self,
        conversation: &Conversation,
        element: Element,
        from: u64,
        through_turn: u32,
    ) -> Reply<u64>;

    /// The ids of all conversations of `user`.
    async fn list(&self, user: u32) -> Reply<Vec<String>>;

    /// Deletes a conversation.
    async fn delete(&self, conversation: &Conversation) -> Reply<()>;
}
