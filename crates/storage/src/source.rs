//! What other systems' databases hold, read row by row: of one snapshot, in constant memory, changing nothing.
//!
//! The tables are those that the systems themselves document. What a row means is its reader's business.

use chrono::{DateTime, Utc};

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
