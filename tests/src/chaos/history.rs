//! What the clients saw: one record for each operation, in a file with a line for each.
//!
//! A record is written before its client goes on, so that what the file says of a client is complete up to
//! its last line, however the run ends.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use lcs_domain::Durability;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::replica::Failure;

/// What a turn or an agent state was made of: unique in a run.
pub type Element = u64;

/// The replica of what no single replica did.
pub const NO_REPLICA: u32 = u32::MAX;

/// One operation of one client, or something that happened to the system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Who did it: one client does one thing after the other.
    pub client: u32,
    /// The replica that was asked last.
    pub replica: u32,
    /// As whom.
    pub user: u32,
    /// The conversation.
    pub conversation: u64,
    /// When it was begun, since the run began.
    pub invoke_ns: u64,
    /// When it ended.
    pub return_ns: u64,
    /// What was done, and what came of it.
    pub event: Event,
}

/// What was done, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A conversation is begun.
    Create(Outcome<()>),
    /// A turn is appended, perhaps with the agent's state.
    Append {
        /// What the turn is made of; it is its key as well.
        element: Element,
        /// A hash of its content.
        digest: u64,
        /// The revision that the agent's state was made from, where there is one.
        state_from: Option<u64>,
        /// What came of it.
        outcome: Outcome<Placed>,
    },
    /// Turns are read.
    Read(Outcome<Page>),
    /// The agent's state is read.
    State(Outcome<Seen>),
    /// The agent's state is saved: the new revision.
    Put {
        /// What the state is made of.
        element: Element,
        /// The revision that it was made from.
        from: u64,
        /// The new revision.
        outcome: Outcome<u64>,
    },
    /// The user's conversations are listed.
    List(Outcome<Vec<u64>>),
    /// A conversation is deleted.
    Delete(Outcome<()>),
    /// What is there in the end, when nobody writes any more; `None`: the conversation is not.
    Final {
        /// All turns.
        page: Option<Page>,
        /// The agent's state.
        state: Option<Seen>,
    },
    /// The conversation was made to look as if it had been idle for long.
    Aged,
    /// Retention removed the conversation.
    Purged,
    /// A journaled turn that the database refused is in the list of conflicts.
    Refused {
        /// The turn's element.
        element: Element,
    },
    /// A fault, from its beginning to its end.
    Fault(String),
    /// There was no database from its beginning to its end.
    Outage,
    /// From here on, what the replica needs is there again.
    Accepting,
    /// A standby has become the primary.
    Promoted,
    /// What is left in the database when nobody uses it any more.
    Ended {
        /// Transactions that stand open.
        idle_in_transaction: u64,
        /// Rows that do not fit together: turns without a conversation, heads that count other turns than there are.
        inconsistent: u64,
    },
}

/// What came of an operation, all its tries together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Outcome<T> {
    /// It was acknowledged.
    Ok(T, Durability),
    /// There is no such conversation; nothing was done.
    Absent,
    /// It was refused, and was certainly not done.
    Failed(String),
    /// It may have been done.
    Unknown(String),
    /// It may have been done, and the conversation is gone.
    Gone,
    /// An answer that no server may give.
    Wrong(String),
}

impl<T> Outcome<T> {
    /// What was acknowledged, and how durable that is.
    pub const fn ok(&self) -> Option<(&T, Durability)> {
        match self {
            Self::Ok(value, durability) => Some((value, *durability)),
            _ => None,
        }
    }

    /// What was acknowledged as being in the database.
    pub fn durable(&self) -> Option<&T> {
        self.ok().filter(|(_, durability)| *durability == Durability::Durable).map(|(value, _)| value)
    }

    /// Whether it was certainly not done.
    pub const fn is_not_done(&self) -> bool {
        matches!(self, Self::Absent | Self::Failed(_))
    }

    /// The word for it in a table.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Ok(_, Durability::Durable) => "ok",
            Self::Ok(_, Durability::Journaled) => "journaled",
            Self::Ok(_, Durability::Volatile) => "volatile",
            Self::Absent => "absent",
            Self::Failed(_) => "failed",
            Self::Unknown(_) => "unknown",
            Self::Gone => "gone",
            Self::Wrong(_) => "wrong",
        }
    }
}

/// What an append came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The turn's number; `None`: it is not known yet.
    pub turn: Option<u32>,
    /// The last revision that the agent's state was given.
    pub revision: u64,
}

/// A page of turns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The page goes on behind this number; `None`: it is the newest turns.
    pub after: Option<u32>,
    /// How many turns it holds at most.
    pub limit: u32,
    /// How many turns the conversation has.
    pub turn_count: u32,
    /// The turns.
    pub turns: Vec<Turn>,
}

/// A turn in a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// Its place.
    pub number: u32,
    /// What it is made of.
    pub element: Element,
    /// A hash of its content.
    pub digest: u64,
}

/// An agent's state that was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its revision; 0 where there is none.
    pub revision: u64,
    /// How many turns it has seen.
    pub through_turn: u32,
    /// What it is made of; 0 where there is none.
    pub element: Element,
}

/// The history of a run, while it is written.
#[derive(Debug)]
pub struct History {
    began: Instant,
    file: Mutex<File>,
}

impl History {
    /// An empty one in the file at `path`.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        Ok(Self { began: Instant::now(), file: Mutex::new(File::create(path)?) })
    }

    /// How long the run has lasted.
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Writes a record that ends now.
    pub fn write(&self, mut record: Record) -> Result<(), Failure> {
        record.return_ns = self.now_ns();
        let line = serde_json::to_string(&record)? + "\n";
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())?;
        Ok(())
    }

    /// Writes what happened to the system from `invoke_ns` to now.
    pub fn note(&self, replica: u32, conversation: u64, invoke_ns: u64, event: Event) -> Result<(), Failure> {
        self.write(Record {
            client: u32::MAX,
            replica,
            user: u32::MAX,
            conversation,
            invoke_ns,
            return_ns: invoke_ns,
            event,
        })
    }
}

/// The records in the file at `path`.
pub fn read(path: &Path) -> Result<Vec<Record>, Failure> {
    BufReader::new(File::open(path)?).lines().map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}
