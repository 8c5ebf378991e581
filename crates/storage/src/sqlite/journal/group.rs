//! Group commit: operations that arrive while a commit runs go together in the next one.
//!
//! Who records queues and waits. The first to queue starts the one task that commits: it takes what is there,
//! a bounded group, writes it in one transaction, answers each of the group, and goes on until nobody waits.
//!
//! The queue is bounded, and nobody waits for ever: a disk may hang, and another process may hold the file. Who
//! gives up in the queue is taken out of it: that operation is not in the journal and never will be. Who gives
//! up when the commit has begun cannot know, and is told so; the commit runs on to its end.

use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use lcs_domain::journal::{JournalEntry, JournalOperation};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{RepositoryError, UserId};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{AGAIN, Inner, table};
use crate::journal::{JournalLimits, record};

/// Entries in one commit at most.
const MAX_ENTRIES: usize = 128;
/// Bytes in one commit at most, unless one entry alone has more.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// What one who records is told: the entry's number and time.
type Taken = RepositoryResult<(u64, DateTime<Utc>)>;

/// Who waits for a commit.
#[derive(Default)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    /// What those who wait are numbered by.
    next: u64,
    /// Whether the task that commits is running.
    committing: bool,
    /// Commits since the journal was opened.
    #[cfg(test)]
    commits: u64,
    /// Entries that have waited since the journal was opened.
    #[cfg(test)]
    joined: usize,
}

struct Waiting {
    number: u64,
    entry: Entry,
    answer: oneshot::Sender<Taken>,
}

#[derive(Clone)]
struct Entry {
    user_id: UserId,
    operation: Arc<[u8]>,
    key: String,
}

impl Queue {
    /// Lets one more wait: its number, and whether nobody commits yet, so that the caller has to see to it.
    ///
    /// # Errors
    /// `Overloaded` where as much waits as may.
    fn join(
        &mut self,
        limits: &JournalLimits,
        entry: Entry,
        answer: oneshot::Sender<Taken>,
    ) -> RepositoryResult<(u64, bool)> {
        let entries = self.waiting.len();
        let bytes: usize = self.waiting.iter().map(|waiting| waiting.entry.operation.len()).sum();
        let is_too_much = entries >= limits.max_waiting_entries
            || bytes.saturating_add(entry.operation.len()) > limits.max_waiting_bytes;
        if entries > 0 && is_too_much {
            return Err(RepositoryError::Overloaded {
                reason: format!(
                    "{entries} operations of {bytes} bytes wait for the journal's disk, as many as may: see \
                     whether it is slow, or whether another process holds the file"
                ),
            });
        }
        #[cfg(test)]
        {
            self.joined += 1;
        }
        self.next += 1;
        self.waiting.push_back(Waiting { number: self.next, entry, answer });
        Ok((self.next, !std::mem::replace(&mut self.committing, true)))
    }

    /// Takes one out that waits no more; `false` where its commit has begun, or is done.
    fn leave(&mut self, number: u64) -> bool {
        let place = self.waiting.iter().position(|waiting| waiting.number == number);
        place.and_then(|place| self.waiting.remove(place)).is_some()
    }

    /// The group for the next commit; none where nobody waits, and then nobody commits any more.
    fn next_group(&mut self) -> Vec<Waiting> {
        let mut bytes = 0;
        let fits = self.waiting.iter().take(MAX_ENTRIES).take_while(|waiting| {
            bytes += waiting.entry.operation.len();
            bytes <= MAX_BYTES
        });
        let group = fits.count().max(1).min(self.waiting.len());
        self.committing = group > 0;
        self.waiting.drain(..group).collect()
    }
}

impl Inner {
    pub(super) async fn record(
        self: &Arc<Self>,
        user_id: UserId,
        operation: JournalOperation,
    ) -> RepositoryResult<JournalEntry> {
        let key = key(&operation);
        let entry = Entry { user_id, operation: record::encode(&operation)?.into(), key: key.clone() };
        let (answer, taken) = oneshot::channel();
        let (number, is_first) = self.queue().join(&self.limits, entry, answer)?;
        if is_first {
            tokio::spawn(Arc::clone(self).commit_groups());
        }
        let (sequence, recorded_at) = match timeout(self.limits.patience, taken).await {
            // Without an answer the runtime has gone, and the commit may or may not have been done.
            Ok(taken) => taken.unwrap_or(Err(RepositoryError::OutcomeUnknown { key }))?,
            Err(_) if self.queue().leave(number) => {
                return Err(RepositoryError::Overloaded { reason: self.no_answer() });
            }
            Err(_) => return Err(RepositoryError::OutcomeUnknown { key }),
        };
        Ok(JournalEntry { sequence, user_id, recorded_at, operation })
    }

    async fn commit_groups(self: Arc<Self>) {
        loop {
            // Taken first: who asks how full the journal is waits for all that has left the queue.
            let _commits = self.commits.lock().await;
            let group = self.queue().next_group();
            if group.is_empty() {
                return;
            }
            let entries = group.iter().map(|waiting| waiting.entry.clone()).collect();
            for (waiting, taken) in group.into_iter().zip(self.commit(entries).await) {
                // Who does not wait any more is not told; the entry stays, as any other.
                let _ = waiting.answer.send(taken);
            }
        }
    }

    /// Commits `entries` together; where that fails and nothing was applied, each by itself, so that none
    /// fails for its neighbour.
    async fn commit(self: &Arc<Self>, entries: Vec<Entry>) -> Vec<Taken> {
        let error = match self.commit_once(entries.clone()).await {
            Ok(taken) => return taken,
            Err(error) => error,
        };
        // Where the file could not be had, it cannot be had for one either.
        let is_of_all =
            matches!(error, RepositoryError::OutcomeUnknown { .. } | RepositoryError::Overloaded { .. });
        if entries.len() == 1 || is_of_all {
            return entries.into_iter().map(|entry| Err(error.shared(entry.key))).collect();
        }
        let mut taken = Vec::with_capacity(entries.len());
        for entry in entries {
            let key = entry.key.clone();
            match self.commit_once(vec![entry]).await {
                Ok(one) => taken.extend(one),
                Err(error) => taken.push(Err(error.shared(key))),
            }
        }
        taken
    }

    async fn commit_once(self: &Arc<Self>, entries: Vec<Entry>) -> RepositoryResult<Vec<Taken>> {
        let limits = self.limits;
        let committed = self.write_to_the_end(AGAIN, move |connection, tally, now| {
            let mut taken = Vec::with_capacity(entries.len());
            for Entry { user_id, operation, .. } in entries {
                taken.push(match limits.check(&tally.status(), now, operation.len() as u64) {
                    Ok(()) => Ok((table::insert(connection, tally, user_id, &operation, now)?, now)),
                    Err(refusal) => Err(refusal),
                });
            }
            Ok(taken)
        });
        let committed = committed.await;
        #[cfg(test)]
        {
            self.queue().commits += u64::from(committed.is_ok());
        }
        committed
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key by which `operation` is sent again.
fn key(operation: &JournalOperation) -> String {
    match operation {
        JournalOperation::Append(append) => append.turn.turn_id().to_string(),
        JournalOperation::Save(save) => save.agent_id.to_string(),
        operation => operation.conversation_id().to_string(),
    }
}

#[cfg(test)]
mod tests;
