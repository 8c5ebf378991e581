//! One outage: from the opening of the circuit until the last call that was served in it is done.
//!
//! Every call that is answered from memory holds the outage until its answer is noted. So what was
//! volatile is counted and discarded when the last holder lets go, and no call can write into a memory
//! that has been counted already: that is [`Outage`]'s `Drop`, and needs no lock across an await.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use lcs_domain::{AgentId, ConversationId, Durability, Repositories, RepositoryError, UserId};
use tokio::time::Instant;

use super::circuit::Epoch;
use super::journal::Journal;
use super::volatile::Volatile;
use super::{FallbackMode, MakeMemory, VolatileCount};

pub(super) struct Outage {
    since: Instant,
    /// Set when the circuit closes.
    until: OnceLock<Instant>,
    /// `None` where the mode keeps nothing.
    volatile: Option<Volatile>,
    /// Where what is in memory is journaled too.
    journal: Option<Arc<Journal>>,
    watch: Mutex<Watch>,
    discarded: Arc<Mutex<VolatileCount>>,
}

/// What the probes have found.
pub(super) struct Watch {
    pub(super) next_probe: Instant,
    pub(super) is_probing: bool,
    /// The epoch that a task probes for. `None` again where its runtime went down: the next call starts
    /// another.
    pub(super) prober: Option<Epoch>,
    pub(super) last_failure: String,
    pub(super) standing: Answering,
}

/// What is known of a primary beside whether it answers a ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answering {
    /// Nothing.
    Untried,
    /// It refused what is in the journal for a reason that is about no entry: a ping says nothing of that.
    Refusing,
    /// Of several entries it has taken one since, and not all.
    TakingSome,
}

impl Outage {
    pub(super) fn new(
        mode: FallbackMode,
        make: &MakeMemory,
        journal: Option<Arc<Journal>>,
        watch: Watch,
        discarded: Arc<Mutex<VolatileCount>>,
    ) -> Self {
        let volatile = match mode {
            FallbackMode::Refuse => None,
            FallbackMode::Memory | FallbackMode::Journal => Some(Volatile::new(Arc::clone(make))),
        };
        let watch = Mutex::new(watch);
        Self { since: Instant::now(), until: OnceLock::new(), volatile, journal, watch, discarded }
    }

    pub(super) const fn since(&self) -> Instant {
        self.since
    }

    pub(super) fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The circuit has closed: calls that are still served from here are the last.
    pub(super) fn end(&self) {
        self.until.get_or_init(Instant::now);
    }

    /// What is in memory only.
    pub(super) fn count(&self) -> VolatileCount {
        match (&self.volatile, &self.journal) {
            (Some(volatile), None) => volatile.count(),
            _ => VolatileCount::default(),
        }
    }

    /// How durable what is answered from memory is.
    pub(super) const fn durability(&self) -> Durability {
        if self.journal.is_some() { Durability::Journaled } else { Durability::Volatile }
    }

    pub(super) const fn journal(&self) -> Option<&Arc<Journal>> {
        self.journal.as_ref()
    }

    /// What takes new conversations, where the mode keeps them.
    pub(super) fn volatile(&self) -> Option<&Volatile> {
        self.volatile.as_ref()
    }

    /// The store and ledger that know this user's conversation.
    pub(super) fn conversation(
        &self,
        user_id: UserId,
        id: ConversationId,
    ) -> Result<(&dyn Repositories, &Volatile), RepositoryError> {
        self.known(|volatile| volatile.of_conversation(user_id, id), "this conversation")
    }

    /// The store and ledger that know this user's agent.
    pub(super) fn agent(
        &self,
        user_id: UserId,
        id: AgentId,
    ) -> Result<(&dyn Repositories, &Volatile), RepositoryError> {
        self.known(|volatile| volatile.of_agent(user_id, id), "this agent")
    }

    fn known<'a>(
        &'a self,
        find: impl FnOnce(&'a Volatile) -> Option<&'a dyn Repositories>,
        what: &str,
    ) -> Result<(&'a dyn Repositories, &'a Volatile), RepositoryError> {
        let Some(volatile) = &self.volatile else {
            return Err(self.refusal("try again then"));
        };
        let store = find(volatile).ok_or_else(|| {
            self.refusal(&format!("what is stored of {what} cannot be known before, try again then"))
        })?;
        Ok((store, volatile))
    }

    /// `Unavailable`, saying since when, when the next try is, and `then`: what that means for the caller.
    pub(super) fn refusal(&self, then: &str) -> RepositoryError {
        let now = Instant::now();
        let watch = self.watch();
        RepositoryError::unavailable(format!(
            "it has not answered for {:.1} s ({}), and is asked again in {:.1} s: {then}",
            now.duration_since(self.since).as_secs_f64(),
            watch.last_failure,
            watch.next_probe.saturating_duration_since(now).as_secs_f64(),
        ))
    }

    fn log(&self) {
        let until = self.until.get();
        let open_ms = until.copied().unwrap_or_else(Instant::now).duration_since(self.since).as_millis();
        if let Some(journal) = &self.journal {
            let (backlog, replayed, refused) = journal.count();
            if until.is_some() {
                tracing::info!(
                    open_ms,
                    replayed,
                    refused,
                    conflicts = backlog.conflicts,
                    "the journal is in the database: the circuit is closed"
                );
            } else {
                tracing::warn!(
                    open_ms,
                    entries = backlog.entries,
                    "stopped while the database was gone: what is in the journal waits there for the next start"
                );
            }
            return;
        }
        let VolatileCount { conversations, turns, agent_states } = self.count();
        if until.is_some() {
            tracing::info!(
                open_ms,
                discarded_conversations = conversations,
                discarded_turns = turns,
                discarded_agent_states = agent_states,
                "the database answers again: the circuit is closed"
            );
        } else {
            tracing::warn!(
                open_ms,
                discarded_conversations = conversations,
                discarded_turns = turns,
                discarded_agent_states = agent_states,
                "stopped while the database was gone: what was in memory only is discarded"
            );
        }
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        *self.discarded.lock().unwrap_or_else(PoisonError::into_inner) += self.count();
        self.log();
    }
}
