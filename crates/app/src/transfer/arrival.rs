//! What comes from a source: batches of conversations that are not too large to be held, and long ones turn by
//! turn.

use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::{IncomingConversation, IncomingHead};
use lcs_domain::{ConversationId, NewTurn};
use serde::Serialize;
use tokio::sync::mpsc;

/// How many conversations a batch has at most.
const BATCH: usize = 256;
/// How many bytes of documents a batch holds, unless one conversation alone has more.
const BATCH_BYTES: usize = 1024 * 1024;
/// How many turns or bytes a conversation may have to be held whole.
const WHOLE_TURNS: usize = 1_000;
const WHOLE_BYTES: usize = 4 * 1024 * 1024;
/// How many turns of a long conversation are read ahead.
const AHEAD: usize = 64;

/// Something that could not be imported, and where it stood: a line of a rejects file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reject {
    /// The line of the file, from 1 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The row of the database, as its system names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<String>,
    /// The conversation, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<ConversationId>,
    /// Why. It quotes nothing of what stands there.
    pub reason: String,
}

/// Where something stands in its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A line of a file.
    Line(u64),
    /// A row of a database, as its system names it.
    Row(String),
}

impl Place {
    /// What stands here, as rejected.
    #[must_use]
    pub fn reject(self, conversation_id: Option<ConversationId>, reason: impl Into<String>) -> Reject {
        let (line, row) = match self {
            Self::Line(line) => (Some(line), None),
            Self::Row(row) => (None, Some(row)),
        };
        Reject { line, row, conversation_id, reason: reason.into() }
    }
}

/// What comes from a source.
#[derive(Debug)]
pub enum Arrival {
    /// Conversations, and where they stand.
    Batch(Vec<(Place, IncomingConversation)>),
    /// A conversation whose turns are still to come.
    Long(Place, Box<IncomingHead>, mpsc::Receiver<RepositoryResult<NewTurn>>),
    /// What could not be read.
    Reject(Reject),
}

/// A long conversation on its way: where its next turns are put.
pub type Turns = mpsc::Sender<RepositoryResult<NewTurn>>;

/// Whether a conversation of so much is too long to be held whole.
#[must_use]
pub const fn is_long(turns: usize, bytes: usize) -> bool {
    turns > WHOLE_TURNS || bytes > WHOLE_BYTES
}

/// A long conversation that arrives, and where its turns are put.
#[must_use]
pub fn long(place: Place, head: IncomingHead) -> (Arrival, Turns) {
    let (sender, receiver) = mpsc::channel(AHEAD);
    (Arrival::Long(place, Box::new(head), receiver), sender)
}

/// A batch in the making.
#[derive(Debug, Default)]
pub struct Batch {
    conversations: Vec<(Place, IncomingConversation)>,
    bytes: usize,
}

impl Batch {
    /// Adds a conversation of so many bytes; gives the batch where it is full.
    #[must_use]
    pub fn push(&mut self, place: Place, incoming: IncomingConversation, bytes: usize) -> Option<Arrival> {
        self.bytes += bytes;
        self.conversations.push((place, incoming));
        let is_full = self.conversations.len() >= BATCH || self.bytes >= BATCH_BYTES;
        is_full.then(|| self.take()).flatten()
    }

    /// The batch, where anything is in it.
    #[must_use]
    pub fn take(&mut self) -> Option<Arrival> {
        self.bytes = 0;
        let conversations = std::mem::take(&mut self.conversations);
        (!conversations.is_empty()).then_some(Arrival::Batch(conversations))
    }
}
