//! A file as a source: lines of [`lcs_domain::transfer::record`], read on a thread that may block.

mod line;

use std::io::{BufReader, Read};

use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::record::{NumberedTurn, Record, Trailer};
use lcs_domain::transfer::{IncomingConversation, IncomingHead};
use lcs_domain::{ConversationId, NewTurn, PayloadLimits, RepositoryError};
use thiserror::Error;
use tokio::sync::mpsc;

pub(crate) use self::line::{Line, Lines};
use super::arrival::{Arrival, Batch, Place, Turns, is_long, long};

/// Why a file cannot be read, or not any further.
#[derive(Debug, Error)]
pub enum FileError {
    /// It is not what it should be.
    #[error(
        "it is no export of lcs-persistence, or one of a later version: its first line is no header ({0})"
    )]
    NoExport(RepositoryError),
    /// There is nothing in it.
    #[error("there is nothing in it: an export has two lines at least")]
    Empty,
    /// What it is compressed with says that more of it belongs here.
    #[error("it is cut off {}: get the whole file, and import it again", behind(*line))]
    CutOff {
        /// The last line that was read.
        line: u64,
    },
    /// It gave an error.
    #[error("it cannot be read {}: {source}", behind(*line))]
    Unreadable {
        /// The last line that was read.
        line: u64,
        /// Its error.
        source: std::io::Error,
    },
}

/// Where a file ends whose last whole line this is.
fn behind(line: u64) -> String {
    if line == 0 { "in its first line".to_owned() } else { format!("behind line {line}") }
}

impl FileError {
    fn behind(line: u64, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::UnexpectedEof => Self::CutOff { line },
            _ => Self::Unreadable { line, source },
        }
    }
}

/// Reads `input` to its end, or until nobody takes what comes.
///
/// # Errors
/// What is wrong with the file as a whole. What is wrong with a line arrives as a reject.
pub fn read(
    input: impl Read,
    limits: PayloadLimits,
    arrivals: mpsc::Sender<Arrival>,
) -> Result<(), FileError> {
    // Documents in a line may be written less tightly than they are kept.
    let longest = limits.max_bytes.saturating_mul(4).saturating_add(1024 * 1024);
    let mut lines = Lines::new(BufReader::with_capacity(256 * 1024, input), longest);
    let mut reader = Reader::new(limits, arrivals);
    loop {
        let line = lines.next().map_err(|source| FileError::behind(reader.line, source))?;
        if matches!(line, Line::End) {
            break;
        }
        reader.line += 1;
        let went_on = match line {
            Line::Text(text) if text.trim().is_empty() => Ok(()),
            Line::Text(text) => match Record::parse(text, limits) {
                Err(error) if !reader.has_header => return Err(FileError::NoExport(error)),
                Ok(record) if !reader.has_header && !matches!(record, Record::Header(_)) => {
                    return Err(FileError::NoExport(RepositoryError::invalid(
                        "/type",
                        "it is another record",
                    )));
                }
                record => reader.take(record, text.len()),
            },
            _ if !reader.has_header && !matches!(line, Line::End) => {
                return Err(FileError::NoExport(RepositoryError::invalid("", "it is no line of text")));
            }
            Line::TooLong => reader.reject(format!("the line is longer than {longest} bytes: no record is")),
            Line::NotUtf8 => reader.reject("the line is not UTF-8"),
            Line::End => Ok(()),
        };
        if went_on.is_err() {
            return Ok(());
        }
    }
    // Blank lines are passed over: there was none beside them.
    if !reader.has_header {
        return Err(FileError::Empty);
    }
    // Whoever has gone needs no last word.
    let _ = reader.end();
    Ok(())
}

/// Nobody takes what comes any more.
struct Gone;

/// A conversation that is being read.
struct Current {
    line: u64,
    head: IncomingHead,
    turns: Vec<NewTurn>,
    came: u32,
    bytes: usize,
    /// Where its turns go, where it is a long one.
    long: Option<Turns>,
}

impl Current {
    /// Whether all its turns have come.
    const fn is_whole(&self) -> bool {
        self.came == self.head.conversation.turn_count
    }
}

struct Reader {
    arrivals: mpsc::Sender<Arrival>,
    limits: PayloadLimits,
    batch: Batch,
    current: Option<Current>,
    line: u64,
    has_header: bool,
    has_trailer: bool,
    seen: Trailer,
    rejected: bool,
}

impl Reader {
    fn new(limits: PayloadLimits, arrivals: mpsc::Sender<Arrival>) -> Self {
        Self {
            arrivals,
            limits,
            batch: Batch::default(),
            current: None,
            line: 0,
            has_header: false,
            has_trailer: false,
            seen: Trailer::default(),
            rejected: false,
        }
    }

    fn send(&self, arrival: Option<Arrival>) -> Result<(), Gone> {
        arrival.map_or(Ok(()), |arrival| self.arrivals.blocking_send(arrival).map_err(|_| Gone))
    }

    /// Rejects this line, and the conversation that it stands in: none, where the one before it has all its turns.
    fn reject(&mut self, reason: impl Into<String>) -> Result<(), Gone> {
        if self.current.as_ref().is_some_and(Current::is_whole) {
            self.finish()?;
        }
        self.rejected = true;
        let reason = reason.into();
        let id = match self.current.take() {
            Some(Current { long: Some(turns), .. }) => {
                // The store gives up what it has of it, and says so: this line is in its words.
                let error = RepositoryError::invalid("", format!("line {}: {reason}", self.line));
                let _ = turns.blocking_send(Err(error));
                return Ok(());
            }
            current => current.map(|current| current.head.conversation.conversation_id),
        };
        let reject = Place::Line(self.line).reject(id, reason);
        self.send(Some(Arrival::Reject(reject)))
    }

    fn take(&mut self, record: RepositoryResult<Record>, bytes: usize) -> Result<(), Gone> {
        match record {
            Err(error) => self.reject(error.to_string()),
            Ok(Record::Header(_)) => {
                // Files may be put together: each has its header, and its trailer.
                self.finish()?;
                if self.has_header && !self.has_trailer {
                    self.reject("the part before this line has no trailer: it was cut off; get it whole")?;
                }
                (self.has_header, self.has_trailer, self.rejected) = (true, false, false);
                self.seen = Trailer::default();
                Ok(())
            }
            Ok(_) if self.has_trailer => self.reject("it stands behind the trailer"),
            Ok(Record::Conversation(conversation)) => {
                self.finish()?;
                self.seen.conversations += 1;
                let head = IncomingHead { conversation: *conversation, agent_state: None };
                let (line, turns) = (self.line, Vec::new());
                self.current = Some(Current { line, head, turns, came: 0, bytes, long: None });
                Ok(())
            }
            Ok(Record::AgentState(state)) => {
                self.seen.agent_states += 1;
                let Some(current) = &mut self.current else { return Ok(()) };
                if current.head.conversation.conversation_id != state.conversation_id {
                    return self.reject("the state is not of the conversation that it stands behind");
                }
                if current.came > 0 || current.head.agent_state.is_some() {
                    return self.reject("the state does not stand directly behind its conversation");
                }
                current.bytes += bytes;
                current.head.agent_state = Some(state.of_user(current.head.conversation.user_id));
                Ok(())
            }
            Ok(Record::Turn(turn)) => {
                self.seen.turns += 1;
                self.turn(*turn, bytes)
            }
            Ok(Record::Trailer(trailer)) => {
                self.finish()?;
                self.has_trailer = true;
                if trailer != self.seen && !self.rejected {
                    let reason = format!(
                        "the trailer counts {} conversations, {} states and {} turns, and {}, {} and {} came: lines are missing",
                        trailer.conversations,
                        trailer.agent_states,
                        trailer.turns,
                        self.seen.conversations,
                        self.seen.agent_states,
                        self.seen.turns,
                    );
                    return self.reject(reason);
                }
                Ok(())
            }
        }
    }

    fn turn(&mut self, turn: NumberedTurn, bytes: usize) -> Result<(), Gone> {
        // Of a conversation that was rejected, the rest is passed over.
        let Some(current) = &mut self.current else { return Ok(()) };
        if current.head.conversation.conversation_id != turn.conversation_id {
            return self.reject("the turn is not of the conversation that it stands behind");
        }
        if turn.turn_number != current.came + 1 {
            let reason = format!("its number is {} where {} belongs", turn.turn_number, current.came + 1);
            return self.reject(reason);
        }
        current.came += 1;
        current.bytes += bytes;
        if let Some(turns) = &current.long {
            // Where the store has refused it already, nobody takes its turns: they are looked at all the same.
            let _ = turns.blocking_send(Ok(turn.turn));
            return Ok(());
        }
        current.turns.push(turn.turn);
        if is_long(current.turns.len(), current.bytes) {
            let (arrival, turns) = long(Place::Line(current.line), current.head.clone());
            let held = std::mem::take(&mut current.turns);
            current.long = Some(turns.clone());
            self.send(Some(arrival))?;
            for turn in held {
                let _ = turns.blocking_send(Ok(turn));
            }
        }
        Ok(())
    }

    /// The conversation that was being read is whole, or is not.
    fn finish(&mut self) -> Result<(), Gone> {
        let Some(current) = self.current.take() else { return Ok(()) };
        if current.long.is_some() {
            // Whether it is whole, the store decides: it knows how many turns came.
            return Ok(());
        }
        let expected = current.head.conversation.turn_count;
        let id: ConversationId = current.head.conversation.conversation_id;
        if !current.is_whole() {
            self.rejected = true;
            let reason = format!("it has {expected} turns, and {} stand here", current.came);
            let reject = Place::Line(current.line).reject(Some(id), reason);
            return self.send(Some(Arrival::Reject(reject)));
        }
        let incoming = IncomingConversation { head: current.head, turns: current.turns };
        let full = self.batch.push(Place::Line(current.line), incoming, current.bytes);
        self.send(full)
    }

    fn end(&mut self) -> Result<(), Gone> {
        self.finish()?;
        let last = self.batch.take();
        self.send(last)?;
        if self.has_trailer {
            return Ok(());
        }
        self.reject(
            "the file ends without a trailer: it was cut off; get the whole file, and import it again",
        )
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("line", &self.line)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
