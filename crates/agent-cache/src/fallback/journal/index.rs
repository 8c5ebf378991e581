//! What of the journal is not in the primary yet, by conversation: known without reading the disk.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use lcs_domain::journal::{JournalEntry, JournalOperation};
use lcs_domain::turn::ContentHash;
use lcs_domain::{ConversationId, TurnId, UserId};

use super::super::Backlog;

/// One user's operations on one conversation: what is replayed in order. A stranger's on the same
/// conversation are a line of their own, which its owner neither sees nor waits for (P9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in super::super) struct Line {
    pub(in super::super) user_id: UserId,
    pub(in super::super) conversation_id: ConversationId,
}

/// A turn that is in the journal.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct PendingTurn {
    pub(in super::super) conversation_id: ConversationId,
    pub(in super::super) content_hash: ContentHash,
    pub(in super::super) sequence: u64,
}

#[derive(Default)]
pub(super) struct Index {
    lines: HashMap<Line, Waiting>,
    /// The first entry of each line that has one.
    heads: BTreeMap<u64, Line>,
    /// How many lines a user has.
    users: HashMap<UserId, usize>,
    turns: HashMap<(UserId, TurnId), PendingTurn>,
    /// Lines in which something was not replayed as it was taken: agent states that were made after it
    /// were made from what the primary never had. Kept until everything is drained.
    broken: HashSet<Line>,
    /// How often the journal may have been given what is not noted here, and how many of those times have
    /// been looked into.
    pub(super) doubts: u64,
    pub(super) settled_doubts: u64,
    pub(super) conflicts: u64,
    pub(super) replayed: u64,
    pub(super) refused: u64,
}

/// What is to be waited for before a conversation is the primary's again.
#[derive(Default)]
struct Waiting {
    entries: BTreeMap<u64, Noted>,
    /// Writes that are on their way into the journal.
    arriving: usize,
}

struct Noted {
    recorded_at: DateTime<Utc>,
    turn_id: Option<TurnId>,
}

impl Index {
    /// A write is on its way.
    pub(super) fn expect(&mut self, line: Line) {
        self.line(line).arriving += 1;
    }

    /// A write that was on its way has arrived, or will not.
    pub(super) fn arrived(&mut self, line: Line) {
        self.line(line).arriving -= 1;
        self.tidy(line);
    }

    /// An entry is in the journal. Noted twice, it is one entry. Gives the line where it is new.
    pub(super) fn note(&mut self, entry: &JournalEntry) -> Option<Line> {
        let (user_id, sequence) = (entry.user_id, entry.sequence);
        let line = Line { user_id, conversation_id: entry.operation.conversation_id() };
        let mut noted = Noted { recorded_at: entry.recorded_at, turn_id: None };
        if let JournalOperation::Append(append) = &entry.operation {
            let (turn_id, content_hash) = (append.turn.turn_id(), *append.turn.content_hash());
            noted.turn_id = Some(turn_id);
            let pending = PendingTurn { conversation_id: line.conversation_id, content_hash, sequence };
            self.turns.entry((user_id, turn_id)).or_insert(pending);
        }
        let entries = &mut self.line(line).entries;
        let head = entries.first_key_value().map(|(&first, _)| first);
        let is_new = entries.insert(sequence, noted).is_none();
        if head.is_none_or(|head| sequence < head) {
            head.map(|head| self.heads.remove(&head));
            self.heads.insert(sequence, line);
        }
        is_new.then_some(line)
    }

    /// An entry is not in the journal any more. `false` where it was not noted.
    pub(super) fn remove(&mut self, line: Line, sequence: u64) -> bool {
        let Some(waiting) = self.lines.get_mut(&line) else { return false };
        let Some(noted) = waiting.entries.remove(&sequence) else { return false };
        if self.heads.remove(&sequence).is_some()
            && let Some((&next, _)) = waiting.entries.first_key_value()
        {
            self.heads.insert(next, line);
        }
        if let Some(turn_id) = noted.turn_id
            && self.turns.get(&(line.user_id, turn_id)).is_some_and(|turn| turn.sequence == sequence)
        {
            self.turns.remove(&(line.user_id, turn_id));
        }
        self.tidy(line);
        true
    }

    pub(super) fn first(&self, line: Line) -> Option<u64> {
        self.lines.get(&line)?.entries.first_key_value().map(|(&sequence, _)| sequence)
    }

    /// The entries of the line behind `sequence`.
    pub(super) fn behind(&self, line: Line, sequence: u64) -> Vec<u64> {
        let entries = self.lines.get(&line).map(|waiting| &waiting.entries);
        entries.map_or_else(Vec::new, |entries| {
            entries.keys().copied().filter(|&other| other > sequence).collect()
        })
    }

    /// How many entries the line has.
    pub(super) fn length(&self, line: Line) -> usize {
        self.lines.get(&line).map_or(0, |waiting| waiting.entries.len())
    }

    /// The lines that there are.
    pub(super) fn lines(&self) -> Vec<Line> {
        self.lines.keys().copied().collect()
    }

    /// The line with the oldest entry, of those that are `free`.
    pub(super) fn oldest_line(&self, free: impl Fn(&Line) -> bool) -> Option<Line> {
        self.heads.values().find(|line| free(line)).copied()
    }

    pub(super) fn turn(&self, user_id: UserId, turn_id: TurnId) -> Option<PendingTurn> {
        self.turns.get(&(user_id, turn_id)).copied()
    }

    pub(super) fn has_line(&self, line: Line) -> bool {
        self.lines.contains_key(&line)
    }

    pub(super) fn has_user(&self, user_id: UserId) -> bool {
        self.users.contains_key(&user_id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty() && !self.is_unsure()
    }

    pub(super) fn is_unsure(&self) -> bool {
        self.doubts > self.settled_doubts
    }

    pub(super) fn break_line(&mut self, line: Line) {
        self.broken.insert(line);
    }

    pub(super) fn is_broken(&self, line: Line) -> bool {
        self.broken.contains(&line)
    }

    pub(super) fn mend(&mut self) {
        self.broken.clear();
    }

    /// Whether the line has an entry that was taken before `time`.
    pub(super) fn reaches_back_to(&self, line: Line, time: DateTime<Utc>) -> bool {
        let entries = self.lines.get(&line).map(|waiting| &waiting.entries);
        entries.is_some_and(|entries| entries.values().any(|noted| noted.recorded_at <= time))
    }

    pub(super) fn backlog(&self) -> Backlog {
        let oldest = self
            .heads
            .first_key_value()
            .and_then(|(sequence, line)| Some(self.lines.get(line)?.entries.get(sequence)?.recorded_at));
        let entries: usize = self.lines.values().map(|waiting| waiting.entries.len()).sum();
        Backlog { entries: entries as u64, oldest, conflicts: self.conflicts }
    }

    fn line(&mut self, line: Line) -> &mut Waiting {
        self.lines.entry(line).or_insert_with(|| {
            *self.users.entry(line.user_id).or_default() += 1;
            Waiting::default()
        })
    }

    /// Forgets a line that nobody waits for any more.
    fn tidy(&mut self, line: Line) {
        if self.lines.get(&line).is_none_or(|waiting| waiting.arriving > 0 || !waiting.entries.is_empty()) {
            return;
        }
        self.lines.remove(&line);
        if let Some(lines) = self.users.get_mut(&line.user_id) {
            *lines -= 1;
            if *lines == 0 {
                self.users.remove(&line.user_id);
            }
        }
    }
}
