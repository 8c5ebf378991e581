//! What waits to be written, and which of it goes next.

use std::collections::{HashSet, VecDeque};
use std::mem;

use lcs_domain::UserId;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Waiting, Write};
use crate::postgres::in_place::Begun;

/// Statements that are under way at once, as long as none of them takes long.
const STATEMENTS: usize = 2;
/// How many have to wait for two statements to be made of them.
const WORTH_TWO_STATEMENTS: usize = 4;
/// Bytes of payload in one statement at most, unless one write alone has more.
const MOST_BYTES: usize = 1024 * 1024;
/// Writes in one statement at most.
pub(super) const MOST_WRITES: usize = 64;

/// The writes of one kind and one store that wait, and the statements that are under way.
pub(super) struct Queue<W: Write> {
    pub(super) waiting: VecDeque<Waiting<W>>,
    /// The conversations to which a write is under way.
    pub(super) busy: HashSet<Uuid>,
    /// How many writes are in the statements that are under way.
    under_way: usize,
    /// The tasks that run statements, and how many of them are about to take a batch.
    pub(super) runners: usize,
    pub(super) gathering: usize,
    /// The statements that their callers run themselves.
    pub(super) in_place: Vec<Begun>,
}

impl<W: Write> Default for Queue<W> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            busy: HashSet::new(),
            under_way: 0,
            runners: 0,
            gathering: 0,
            in_place: Vec::new(),
        }
    }
}

impl<W: Write> Queue<W> {
    /// Takes in one more; gives a batch for one more statement where that is worth it.
    pub(super) fn arrive(&mut self, waiting: Waiting<W>, by_user: bool) -> Option<Vec<Waiting<W>>> {
        self.waiting.push_back(waiting);
        self.begin(self.worth(), by_user)
    }

    /// How many statements are worth having under way: two where as much waits as is under way. Statements of the
    /// same size keep two processors of the server busy; a small one beside a large one costs a commit for little.
    pub(super) fn worth(&self) -> usize {
        if self.waiting.len() < self.under_way { 1 } else { STATEMENTS }
    }

    /// The next batch of a statement that has been answered; `None`: it is not gone on with.
    pub(super) fn go_on(&mut self, by_user: bool) -> Option<Vec<Waiting<W>>> {
        let is_worth_it = self.runners == 1 || self.waiting.len() * 2 >= self.under_way;
        let next = if is_worth_it { self.take(by_user) } else { None };
        self.runners -= usize::from(next.is_none());
        next
    }

    /// A batch for one more statement, if fewer than `limit` are under way and there is something to do.
    pub(super) fn begin(&mut self, limit: usize, by_user: bool) -> Option<Vec<Waiting<W>>> {
        // Who gathers may be in a task that nobody goes on with: whoever has waited long does not wait for him.
        if self.runners >= limit || (self.gathering > 0 && limit <= STATEMENTS) {
            return None;
        }
        self.runners += 1;
        let batch = self.take(by_user);
        self.runners -= usize::from(batch.is_none());
        batch
    }

    /// The next batch, of those whose conversations nothing is under way for: half of those who wait, where no
    /// other statement is under way.
    fn take(&mut self, by_user: bool) -> Option<Vec<Waiting<W>>> {
        let (mut batch, mut bytes, mut user) = (Vec::new(), 0, None::<UserId>);
        let most = if self.runners == 1 && self.waiting.len() >= WORTH_TWO_STATEMENTS {
            self.waiting.len() / 2
        } else {
            self.waiting.len()
        };
        let most = most.min(MOST_WRITES);
        let mut index = 0;
        while let Some(waiting) = self.waiting.get(index).filter(|_| batch.len() < most) {
            let (user_id, lane, size) = (waiting.write.user_id(), waiting.lane(), waiting.write.bytes());
            let fits = batch.is_empty() || bytes + size <= MOST_BYTES;
            let is_of_user = !by_user || user.is_none_or(|user| user == user_id);
            if !fits || !is_of_user || self.busy.contains(&lane) {
                index += 1;
                continue;
            }
            bytes += size;
            user = Some(user_id);
            self.busy.insert(lane);
            batch.extend(self.waiting.remove(index));
        }
        self.under_way += batch.len();
        (!batch.is_empty()).then_some(batch)
    }

    /// Takes out those whose time is over.
    pub(super) fn late(&mut self, now: Instant) -> Vec<Waiting<W>> {
        if self.waiting.iter().all(|one| one.deadline > now) {
            return Vec::new();
        }
        let (late, waiting) =
            mem::take(&mut self.waiting).into_iter().partition::<VecDeque<_>, _>(|one| one.deadline <= now);
        self.waiting = waiting;
        Vec::from(late)
    }

    /// Notes a statement that its caller runs.
    pub(super) fn note(&mut self, begun: Begun) {
        self.in_place.retain(Begun::is_left);
        self.in_place.push(begun);
    }

    /// Frees the lanes of those that are done, and counts `writes` as under way no more.
    pub(super) fn end(&mut self, writes: usize, lanes: &HashSet<Uuid>) {
        self.under_way -= writes;
        self.busy.retain(|lane| !lanes.contains(lane));
    }
}
