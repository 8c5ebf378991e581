//! What other systems' databases hold, read row by row: of one snapshot, in constant memory, changing nothing.
//!
//! The tables are those that the systems themselves document. What a row means is its reader's business.

use chrono::{DateTime, NaiveDateTime, Utc};

/// A row of the conversation cache of Lightspeed Core Stack, with what its `conversations` table says of the
/// conversation. They come by user, conversation and time.
#[derive(Clone, PartialEq)]
pub struct LcsCacheRow {
    /// Whose conversation it is, as LCS calls him.
    pub user_id: String,
    /// The conversation, as LCS calls it.
    pub conversation_id: String,
    /// When the row was written, by its server's clock.
    pub created_at: DateTime<Utc>,
    /// The same as it stands there, in whatever time zone that is: a part of the row's key.
    pub written_at: NaiveDateTime,
    /// When the turn began and ended, as LCS wrote it.
    pub started_at: Option<String>,
    /// See [`started_at`](Self::started_at).
    pub completed_at: Option<String>,
    /// What the user said.
    pub query: Option<String>,
    /// What was answered.
    pub response: Option<String>,
    /// Whose model answered.
    pub provider: Option<String>,
    /// The model that answered.
    pub model: Option<String>,
    /// JSON lists.
    pub referenced_documents: Option<String>,
    /// See [`referenced_documents`](Self::referenced_documents).
    pub tool_calls: Option<String>,
    /// See [`referenced_documents`](Self::referenced_documents).
    pub tool_results: Option<String>,
    /// What the conversation is about.
    pub topic_summary: Option<String>,
    /// When it was last changed, by the server's clock.
    pub last_message_at: Option<DateTime<Utc>>,
}

/// A row of the messages of the OpenAI Agents SDK's SQLite sessions. They come by session, in their order.
#[derive(Clone, PartialEq)]
pub struct AgentsMessageRow {
    /// The row's number.
    pub id: i64,
    /// The session.
    pub session_id: String,
    /// The item that was said or done, in JSON.
    pub message_data: String,
    /// When the row was written.
    pub created_at: Option<DateTime<Utc>>,
}

impl std::fmt::Debug for LcsCacheRow {
    /// Shows which row it is, never what was said.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LcsCacheRow")
            .field("conversation_id", &self.conversation_id)
            .field("created_at", &self.created_at)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for AgentsMessageRow {
    /// Shows which row it is, never what was said.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentsMessageRow").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A row of what LCS's `user_conversation` and `user_turn` say: a turn with its conversation, or a conversation
/// without turns. They come by conversation, in the turns' order. What was said is not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LcsMetadataRow {
    /// The conversation, as LCS calls it.
    pub conversation_id: String,
    /// Whose it is, as LCS calls him.
    pub user_id: String,
    /// The model that was last used.
    pub model: String,
    /// When it was begun.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was last changed.
    pub last_message_at: Option<DateTime<Utc>>,
    /// What it is about; empty where nothing is known.
    pub topic_summary: String,
    /// The turn, where there is one.
    pub turn: Option<LcsTurn>,
}

/// What LCS knows of a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LcsTurn {
    /// Its place, from 1 on.
    pub turn_number: i64,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub completed_at: Option<DateTime<Utc>>,
    /// Whose model answered.
    pub provider: String,
    /// The model that answered.
    pub model: String,
}

/// A thread of LangGraph's checkpoints, as of its newest one. They come by their ids.
#[derive(Clone, PartialEq, Eq)]
pub struct LangGraphThread {
    /// The thread.
    pub thread_id: String,
    /// When its first checkpoint was written, as LangGraph wrote it.
    pub began_at: Option<String>,
    /// When its newest one was.
    pub changed_at: Option<String>,
    /// The channel of its messages, and how it is encoded: `msgpack` or `json`. `None` where it has none, or more than
    /// is read.
    pub messages: Option<(String, Vec<u8>)>,
    /// How many bytes its messages have, where that is more than is read: [`LANGGRAPH_BYTES`].
    pub too_long: Option<u64>,
}

/// How many bytes of messages a thread of LangGraph's may have to be read: they are in memory as a whole, which takes
/// some times as much.
pub const LANGGRAPH_BYTES: u32 = 32 << 20;

impl std::fmt::Debug for LangGraphThread {
    /// Shows which thread it is, never what was said.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LangGraphThread").field("thread_id", &self.thread_id).finish_non_exhaustive()
    }
}
