//! A journal in memory that can fail, hang, fill up and be read from outside.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use lcs_domain::erasure::{Erased, OwnedConversation};
use lcs_domain::journal::{
    ConflictResolution, JournalConflict, JournalEntry, JournalOperation, JournalStatus,
};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{JournalRepository, PageLimit, RepositoryError, SaveAgentState, UserId};
use tokio::sync::Semaphore;

use super::fuse::Fuse;

type Late = (Arc<Semaphore>, Vec<(UserId, JournalOperation)>);

/// Its clock is a count: each look at it is a second later.
#[derive(Default)]
pub(in super::super) struct FakeJournal {
    pub(in super::super) fuse: Arc<Fuse>,
    pub(in super::super) records: AtomicU64,
    /// How many are being recorded now, and how many were at most.
    recording: [AtomicU64; 2],
    fault: Mutex<Option<fn() -> RepositoryError>>,
    gate: Mutex<Option<Arc<Semaphore>>>,
    /// What is on its way onto the disk, and for what it waits.
    late: Mutex<Option<Late>>,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    time: u64,
    last: u64,
    entries: BTreeMap<u64, JournalEntry>,
    conflicts: BTreeMap<u64, JournalConflict>,
}

impl Pages {
    fn now(&mut self) -> DateTime<Utc> {
        self.time += 1;
        DateTime::<Utc>::UNIX_EPOCH + Duration::from_secs(self.time)
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

impl FakeJournal {
    /// One whose steps are counted by `fuse`.
    pub(in super::super) fn with_fuse(fuse: Arc<Fuse>) -> Self {
        Self { fuse, ..Self::default() }
    }

    /// From now on every record fails so; `None`: none does.
    pub(in super::super) fn fail_with(&self, fault: Option<fn() -> RepositoryError>) {
        *self.fault.lock().unwrap() = fault;
    }

    /// From now on records wait until the gate is given permits.
    pub(in super::super) fn shut(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.gate.lock().unwrap() = Some(Arc::clone(&gate));
        gate
    }

    /// From now on records are not known, and are there only when the gate is given a permit.
    pub(in super::super) fn hang(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.late.lock().unwrap() = Some((Arc::clone(&gate), Vec::new()));
        gate
    }

    /// How many were being recorded at once, at most.
    pub(in super::super) fn most_at_once(&self) -> u64 {
        self.recording[1].load(Ordering::SeqCst)
    }

    pub(in super::super) fn entries(&self) -> Vec<JournalEntry> {
        self.pages().entries.values().cloned().collect()
    }

    pub(in super::super) fn all_conflicts(&self) -> Vec<JournalConflict> {
        self.pages().conflicts.values().cloned().collect()
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap()
    }
}

#[async_trait]
impl JournalRepository for FakeJournal {
    async fn record(&self, user_id: UserId, operation: JournalOperation) -> RepositoryResult<JournalEntry> {
        self.records.fetch_add(1, Ordering::SeqCst);
        let at_once = self.recording[0].fetch_add(1, Ordering::SeqCst) + 1;
        self.recording[1].fetch_max(at_once, Ordering::SeqCst);
        let gate = self.gate.lock().unwrap().clone();
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        self.recording[0].fetch_sub(1, Ordering::SeqCst);
        self.fuse.before().await?;
        if let Some((_, operations)) = &mut *self.late.lock().unwrap() {
            operations.push((user_id, operation));
            return Err(super::outcome_unknown());
        }
        let fault = *self.fault.lock().unwrap();
        if let Some(error) = fault.map(|fault| fault())
            && !matches!(error, RepositoryError::OutcomeUnknown { .. })
        {
            return Err(error);
        }
        let entry = {
            let mut pages = self.pages();
            let (sequence, recorded_at) = (pages.next(), pages.now());
            let entry = JournalEntry { sequence, user_id, recorded_at, operation };
            pages.entries.insert(sequence, entry.clone());
            entry
        };
        self.fuse.behind().await?;
        fault.map_or(Ok(entry), |fault| Err(fault()))
    }

    async fn pending(&self, after: u64, limit: PageLimit) -> RepositoryResult<Vec<JournalEntry>> {
        self.fuse.before().await?;
        let pages = self.pages();
        Ok(pages
            .entries
            .range(after + 1..)
            .take(limit.get() as usize)
            .map(|(_, entry)| entry.clone())
            .collect())
    }

    async fn settle(&self, sequences: &[u64]) -> RepositoryResult<()> {
        self.fuse.before().await?;
        self.pages().entries.retain(|sequence, _| !sequences.contains(sequence));
        self.fuse.behind().await
    }

    async fn refuse(&self, sequence: u64, reason: &str) -> RepositoryResult<()> {
        self.fuse.before().await?;
        {
            let mut pages = self.pages();
            let refused_at = pages.now();
            if let Some(entry) = pages.entries.remove(&sequence) {
                let reason = reason.to_owned();
                pages.conflicts.insert(sequence, JournalConflict { entry, reason, refused_at });
            }
        }
        self.fuse.behind().await
    }

    async fn refuse_agent_state(&self, sequence: u64, reason: &str) -> RepositoryResult<()> {
        self.fuse.before().await?;
        self.take_state(sequence, reason);
        self.fuse.behind().await
    }

    async fn note_tried(&self, sequence: u64, time: DateTime<Utc>) -> RepositoryResult<()> {
        self.fuse.before().await?;
        if let Some(JournalEntry { operation: JournalOperation::Update { base, .. }, .. }) =
            self.pages().entries.get_mut(&sequence)
        {
            base.tried_on = Some(time);
        }
        self.fuse.behind().await
    }

    async fn conflicts(&self, after: u64, limit: PageLimit) -> RepositoryResult<Vec<JournalConflict>> {
        self.fuse.before().await?;
        let pages = self.pages();
        let behind = pages.conflicts.range(after + 1..).take(limit.get() as usize);
        Ok(behind.map(|(_, conflict)| conflict.clone()).collect())
    }

    async fn resolve(&self, sequence: u64, resolution: ConflictResolution) -> RepositoryResult<bool> {
        let mut pages = self.pages();
        let Some(conflict) = pages.conflicts.remove(&sequence) else { return Ok(false) };
        if resolution == ConflictResolution::Retry {
            let sequence = pages.next();
            let operation = conflict.entry.operation.for_whatever_is_there();
            pages.entries.insert(sequence, JournalEntry { sequence, operation, ..conflict.entry });
        }
        Ok(true)
    }

    /// The store's: what they count is one time.
    fn now(&self) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }

    async fn erase(&self, erased: &Erased) -> RepositoryResult<Vec<u64>> {
        self.fuse.before().await?;
        let gone = {
            let mut pages = self.pages();
            let now = erased.now;
            let is_erased = |entry: &JournalEntry| {
                let (user_id, conversation_id) = (entry.user_id, entry.operation.conversation_id());
                erased.includes(OwnedConversation { user_id, conversation_id }, entry.recorded_at, now)
            };
            pages.conflicts.retain(|_, conflict| !is_erased(&conflict.entry));
            let gone = pages.entries.values().filter(|entry| is_erased(entry)).map(|entry| entry.sequence);
            let gone: Vec<u64> = gone.collect();
            pages.entries.retain(|sequence, _| !gone.contains(sequence));
            gone
        };
        self.fuse.behind().await?;
        Ok(gone)
    }

    async fn status(&self) -> RepositoryResult<JournalStatus> {
        let gate = self.late.lock().unwrap().as_ref().map(|(gate, _)| Arc::clone(gate));
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
            let (_, operations) = self.late.lock().unwrap().take().unwrap();
            let mut pages = self.pages();
            for (user_id, operation) in operations {
                let (sequence, recorded_at) = (pages.next(), pages.now());
                pages.entries.insert(sequence, JournalEntry { sequence, user_id, recorded_at, operation });
            }
        }
        let pages = self.pages();
        Ok(JournalStatus {
            entries: pages.entries.len() as u64,
            bytes: 0,
            oldest: pages.entries.values().next().map(|entry| entry.recorded_at),
            conflicts: pages.conflicts.len() as u64,
        })
    }
}

impl FakeJournal {
    fn take_state(&self, sequence: u64, reason: &str) {
        let mut pages = self.pages();
        let (refused_at, number) = (pages.now(), pages.last + 1);
        let Some(entry) = pages.entries.get_mut(&sequence) else { return };
        let JournalOperation::Append(append) = &mut entry.operation else { return };
        let Some(state) = append.agent_state.take() else { return };
        let operation = JournalOperation::Save(SaveAgentState {
            agent_id: state.agent_id,
            conversation_id: append.conversation_id,
            agent_config: state.agent_config,
            current_state: Some(state.current_state),
            expected_revision: state.expected_revision,
            through_turn: 0,
        });
        let entry = JournalEntry { sequence: number, operation, ..entry.clone() };
        pages.last = number;
        pages.conflicts.insert(number, JournalConflict { entry, reason: reason.to_owned(), refused_at });
    }
}
