//! The journal of one fallback: the port, and what is known of it without asking the disk.
//!
//! A write is announced by a [`Ticket`] at the moment that it is routed here, before anything is on the
//! disk: so that a replay that begins meanwhile waits for it, and the circuit does not close before it.

mod index;
mod queue;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use lcs_domain::erasure::{Erased, OwnedConversation};
use lcs_domain::journal::{ConflictResolution, JournalEntry, JournalOperation};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{JournalRepository, PageLimit, RepositoryError, TurnId, UserId};
use tokio::sync::futures::Notified;
use tokio::sync::{Mutex as Turn, MutexGuard as TurnGuard, Notify};
use tokio::time::timeout;

use self::index::Index;
use self::queue::Queue;
use super::Backlog;

pub(super) use self::index::{Line, PendingTurn};
pub(super) use self::queue::Place;

/// How long a write waits for those before it in its line: each of them has a patience of its own.
const LINE_PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Journal {
    repository: Arc<dyn JournalRepository>,
    index: Mutex<Index>,
    queue: Queue,
    replay: Turn<()>,
    looking: Turn<()>,
    changed: Notify,
}

impl Journal {
    /// The journal behind `repository`, and all that an earlier process left in it, oldest first.
    pub(super) async fn open(
        repository: Arc<dyn JournalRepository>,
    ) -> RepositoryResult<(Self, Vec<JournalEntry>)> {
        let journal = Self {
            repository,
            index: Mutex::default(),
            queue: Queue::default(),
            replay: Turn::default(),
            looking: Turn::default(),
            changed: Notify::new(),
        };
        let mut entries = Vec::new();
        while let page = journal.page(entries.last()).await?
            && !page.is_empty()
        {
            entries.extend(page);
        }
        for entry in &entries {
            journal.index().note(entry);
        }
        journal.read_conflicts().await?;
        Ok((journal, entries))
    }

    /// Entries behind `after`.
    async fn page(&self, after: Option<&JournalEntry>) -> RepositoryResult<Vec<JournalEntry>> {
        self.repository.pending(after.map_or(0, |entry| entry.sequence), PageLimit::MAX).await
    }

    /// Counts the conflicts, and finds the lines that they have broken.
    async fn read_conflicts(&self) -> RepositoryResult<()> {
        let (mut after, mut count) = (0, 0);
        loop {
            let page = self.repository.conflicts(after, PageLimit::MAX).await?;
            let Some(last) = page.last() else { break };
            after = last.entry.sequence;
            count += page.len() as u64;
            let mut index = self.index();
            for conflict in &page {
                let entry = &conflict.entry;
                let conversation_id = entry.operation.conversation_id();
                let line = Line { user_id: entry.user_id, conversation_id };
                // What was taken before the refusal may have been made from what was refused.
                if index.reaches_back_to(line, conflict.refused_at) {
                    index.break_line(line);
                }
            }
        }
        self.index().conflicts = count;
        Ok(())
    }

    /// Notes what is in the journal and was not seen to arrive, and tells `found` of each line with such an
    /// entry. Whoever asks meanwhile waits for it.
    pub(super) async fn make_sure(&self, found: impl Fn(Line)) -> RepositoryResult<()> {
        if !self.index().is_unsure() {
            return Ok(());
        }
        let _one = self.looking.lock().await;
        let doubts = self.index().doubts;
        if doubts == self.index().settled_doubts {
            return Ok(());
        }
        // What is on its way onto the disk still could arrive behind the look.
        self.repository.status().await?;
        let mut page = self.page(None).await?;
        while !page.is_empty() {
            for entry in &page {
                let line = self.index().note(entry);
                line.into_iter().for_each(&found);
            }
            page = self.page(page.last()).await?;
        }
        self.index().settled_doubts = doubts;
        Ok(())
    }

    /// Announces a write.
    pub(super) fn expect(self: &Arc<Self>, line: Line) -> Ticket {
        self.index().expect(line);
        Ticket { journal: Arc::clone(self), line }
    }

    /// Waits until nobody else writes in the line.
    ///
    /// # Errors
    /// `Overloaded` where that takes too long: the journal's disk is slow, or hangs.
    pub(super) async fn enter(&self, line: Line) -> RepositoryResult<Place<'_>> {
        timeout(LINE_PATIENCE, self.queue.enter(line)).await.map_err(|_| RepositoryError::Overloaded {
            reason: format!(
                "other writes to this conversation have waited {LINE_PATIENCE:?} for the journal: try again later"
            ),
        })
    }

    /// Waits until no other replay is under way.
    pub(super) async fn alone(&self) -> TurnGuard<'_, ()> {
        self.replay.lock().await
    }

    /// Takes an operation: it is on the disk when this answers, and not where this refuses.
    pub(super) async fn record(&self, user_id: UserId, operation: JournalOperation) -> RepositoryResult<u64> {
        let doubt = Doubt(self);
        let recorded = self.repository.record(user_id, operation).await;
        match &recorded {
            Ok(entry) => drop(self.index().note(entry)),
            // It may be there: it is looked for before the replay.
            Err(RepositoryError::OutcomeUnknown { .. }) => drop(Doubt(self)),
            Err(_) => {}
        }
        doubt.dispel();
        Ok(recorded?.sequence)
    }

    /// Takes back what was recorded and has not been acknowledged.
    pub(super) async fn retract(&self, line: Line, sequence: u64) -> RepositoryResult<()> {
        self.repository.settle(&[sequence]).await?;
        self.index().remove(line, sequence);
        Ok(())
    }

    /// The entry; `None` where it is not there any more.
    pub(super) async fn entry(&self, sequence: u64) -> RepositoryResult<Option<JournalEntry>> {
        let one = PageLimit::new(1)?;
        let page = self.repository.pending(sequence.saturating_sub(1), one).await?;
        Ok(page.into_iter().next().filter(|entry| entry.sequence == sequence))
    }

    /// How long ago it was taken.
    pub(super) fn age_of(&self, entry: &JournalEntry) -> TimeDelta {
        self.repository.now() - entry.recorded_at
    }

    /// The entry is in the primary now.
    pub(super) async fn settle(&self, line: Line, sequence: u64) -> RepositoryResult<()> {
        self.repository.settle(&[sequence]).await?;
        self.index().replayed += 1;
        self.forget(line, sequence);
        Ok(())
    }

    /// The entry was refused by the primary, and is an operator's now.
    pub(super) async fn refuse(&self, line: Line, sequence: u64, reason: &str) -> RepositoryResult<()> {
        self.repository.refuse(sequence, reason).await?;
        self.note_conflict();
        self.forget(line, sequence);
        Ok(())
    }

    /// The entry's agent state was refused by the primary, and is an operator's now.
    pub(super) async fn refuse_agent_state(&self, sequence: u64, reason: &str) -> RepositoryResult<()> {
        self.repository.refuse_agent_state(sequence, reason).await?;
        self.note_conflict();
        Ok(())
    }

    /// An updating entry is about to be done to what was last changed at this time.
    pub(super) async fn note_tried(&self, sequence: u64, tried_on: DateTime<Utc>) -> RepositoryResult<()> {
        self.repository.note_tried(sequence, tried_on).await
    }

    fn note_conflict(&self) {
        let mut index = self.index();
        index.conflicts += 1;
        index.refused += 1;
    }

    /// The entry is not in the journal any more.
    pub(super) fn forget(&self, line: Line, sequence: u64) {
        self.index().remove(line, sequence);
        self.changed.notify_waiters();
    }

    /// The lines of entries and of conflicts.
    pub(super) async fn all_lines(&self) -> RepositoryResult<Vec<Line>> {
        let mut lines = self.index().lines();
        let mut after = 0;
        loop {
            let page = self.repository.conflicts(after, PageLimit::MAX).await?;
            let Some(last) = page.last() else { return Ok(lines) };
            after = last.entry.sequence;
            lines.extend(page.iter().map(|conflict| Line {
                user_id: conflict.entry.user_id,
                conversation_id: conflict.entry.operation.conversation_id(),
            }));
        }
    }

    /// Forgets what is erased, entries and conflicts.
    pub(super) async fn erase(&self, erased: &Erased) -> RepositoryResult<()> {
        let gone = self.repository.erase(erased).await?;
        let status = self.repository.status().await?;
        {
            let mut index = self.index();
            for OwnedConversation { user_id, conversation_id } in
                erased.conversations.iter().map(|erased| erased.owned)
            {
                for sequence in &gone {
                    index.remove(Line { user_id, conversation_id }, *sequence);
                }
            }
            index.conflicts = status.conflicts;
        }
        self.changed.notify_waiters();
        Ok(())
    }

    /// Counts the conflicts anew. Whether there are entries, of which some may not be noted.
    pub(super) async fn look_again(&self) -> RepositoryResult<bool> {
        let status = self.repository.status().await?;
        let mut index = self.index();
        index.conflicts = status.conflicts;
        let has_entries = status.entries > 0;
        index.doubts += u64::from(has_entries);
        Ok(has_entries)
    }

    /// Does with a conflict what an operator decided.
    pub(super) async fn resolve(
        &self,
        sequence: u64,
        resolution: ConflictResolution,
    ) -> RepositoryResult<bool> {
        // The new entry is looked for before the replay.
        let doubt = Doubt(self);
        let is_resolved = self.repository.resolve(sequence, resolution).await?;
        if is_resolved {
            let mut index = self.index();
            index.conflicts = index.conflicts.saturating_sub(1);
        }
        if !is_resolved || resolution == ConflictResolution::Discard {
            doubt.dispel();
        }
        Ok(is_resolved)
    }

    pub(super) fn first(&self, line: Line) -> Option<u64> {
        self.index().first(line)
    }

    /// The entries of the line behind this one, as far as they are noted.
    pub(super) fn behind(&self, line: Line, sequence: u64) -> Vec<u64> {
        self.index().behind(line, sequence)
    }

    /// Whether this is the only entry of the line.
    pub(super) fn is_last(&self, line: Line) -> bool {
        self.index().length(line) == 1
    }

    pub(super) fn oldest_line(&self, free: impl Fn(&Line) -> bool) -> Option<Line> {
        self.index().oldest_line(free)
    }

    pub(super) fn turn(&self, user_id: UserId, turn_id: TurnId) -> Option<PendingTurn> {
        self.index().turn(user_id, turn_id)
    }

    pub(super) fn has_line(&self, line: Line) -> bool {
        self.index().has_line(line)
    }

    pub(super) fn has_user(&self, user_id: UserId) -> bool {
        self.index().has_user(user_id)
    }

    pub(super) fn is_drained(&self) -> bool {
        self.index().is_empty()
    }

    pub(super) fn break_line(&self, line: Line) {
        self.index().break_line(line);
    }

    pub(super) fn is_broken(&self, line: Line) -> bool {
        self.index().is_broken(line)
    }

    /// Everything is in the primary: what is made from now on is made from that.
    pub(super) fn mend(&self) {
        self.index().mend();
    }

    /// What is pending, and how many operations were replayed and refused.
    pub(super) fn count(&self) -> (Backlog, u64, u64) {
        let index = self.index();
        (index.backlog(), index.replayed, index.refused)
    }

    /// The next change after this call.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    pub(super) fn wake(&self) {
        self.changed.notify_waiters();
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A write on its way into the journal.
pub(super) struct Ticket {
    journal: Arc<Journal>,
    line: Line,
}

impl Ticket {
    pub(super) const fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    pub(super) const fn line(&self) -> Line {
        self.line
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.journal.index().arrived(self.line);
        self.journal.wake();
    }
}

/// Whether something was written that is not noted. Dropped undecided, it is a yes.
struct Doubt<'a>(&'a Journal);

impl Doubt<'_> {
    fn dispel(self) {
        std::mem::forget(self);
    }
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        self.0.index().doubts += 1;
    }
}
