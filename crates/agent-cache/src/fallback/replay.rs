//! The journal on its way into the primary: oldest first, conversation by conversation.
//!
//! An entry is forgotten when the primary has answered for it, and not before: stopped at any point and
//! begun again, a replay comes to the same, because each operation carries its own key (P1). Several
//! conversations are replayed at once, the entries of one always in their order.

mod entry;
mod erased;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::OptionFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use lcs_domain::journal::JournalKind;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{Repositories, RepositoryError};
use tokio::time::{Instant, sleep_until};

pub(super) use self::erased::drop_erased;

use self::entry::Fate;
use super::circuit::{Circuit, Epoch};
use super::journal::{Journal, Line};
use super::outage::{Answering, Outage};

/// How many conversations are replayed at once: many are quick, and few leave room for callers.
const LINES_AT_ONCE: usize = 8;

/// How often what the primary does not know is asked for before it is refused: another replica may have it
/// in its journal still, and be on its way up.
const ATTEMPTS: u32 = 15;
const ATTEMPT_PAUSE: Duration = Duration::from_secs(1);

/// Replays until the journal is drained or the primary is gone again. It keeps neither the fallback nor
/// the outage alive.
pub(super) struct Replayer {
    circuit: Weak<Circuit>,
    outage: Weak<Outage>,
    journal: Arc<Journal>,
    epoch: Epoch,
    /// Whether the primary is known to take some entries and not others.
    takes_some: bool,
}

/// How the replay of one line ended.
enum Ending {
    /// Nothing of it is left, or the replay is over.
    Drained,
    /// The primary did not know what its first entry is about, for the so-manieth time.
    PutOff(Tried),
    /// The primary, or the journal, is gone.
    Stopped(RepositoryError),
}

/// What was tried of a line's first entry in vain.
#[derive(Default)]
struct Tried {
    attempts: u32,
    /// How many writes the primary had taken when it first did not say why it refused.
    unexplained_since: Option<u64>,
}

/// A line that is asked for again later.
struct Again {
    at: Instant,
    tried: Tried,
}

/// Whether the primary takes anything again of what is in the journal: the first entries of some lines are
/// given to it, as a replay would, which then finds them done.
///
/// # Errors
/// Why it takes nothing still.
pub(super) async fn attempt(primary: &dyn Repositories, journal: &Journal) -> RepositoryResult<Answering> {
    let _alone = journal.alone().await;
    let (mut tried, mut refused, mut is_taken) = (HashSet::new(), None, false);
    while tried.len() < LINES_AT_ONCE
        && let Some(line) = journal.oldest_line(|line| !tried.contains(line))
    {
        tried.insert(line);
        drop_erased(primary, journal, &[line]).await?;
        let Some(sequence) = journal.first(line) else { continue };
        let Some(entry) = journal.entry(sequence).await? else { continue };
        match entry::replay(primary, journal, &entry, journal.is_broken(line)).await {
            Fate::Stored { .. } => is_taken = true,
            Fate::Erased | Fate::Refused(_) | Fate::Unknown(_) => {}
            Fate::Gone(
                error @ (RepositoryError::Unavailable { .. } | RepositoryError::OutcomeUnknown { .. }),
            ) => {
                return Err(error);
            }
            Fate::Gone(error) | Fate::Unexplained(error) => drop(refused.get_or_insert(error)),
        }
        if is_taken && refused.is_some() {
            return Ok(Answering::TakingSome);
        }
    }
    match refused {
        Some(error) => Err(error),
        None => Ok(Answering::Untried),
    }
}

impl Replayer {
    pub(super) fn start(circuit: &Arc<Circuit>, journal: Arc<Journal>, outage: &Arc<Outage>, epoch: Epoch) {
        let takes_some = outage.watch().standing == Answering::TakingSome;
        let (circuit, outage) = (Arc::downgrade(circuit), Arc::downgrade(outage));
        tokio::spawn(Self { circuit, outage, journal, epoch, takes_some }.run());
    }

    async fn run(self) {
        // One replay at a time: calls of the last one may still be under way.
        let _alone = self.journal.alone().await;
        let mut running = FuturesUnordered::new();
        let mut busy = HashSet::new();
        let mut put_off: HashMap<Line, Again> = HashMap::new();
        while self.is_on() {
            // Asked for before the look: a change in between is not missed.
            let changed = self.journal.changed();
            if running.is_empty()
                && let Err(error) = self.journal.make_sure(|line| self.forget(line)).await
            {
                return self.stop(&error);
            }
            let now = Instant::now();
            let is_free =
                |line: &Line| !busy.contains(line) && put_off.get(line).is_none_or(|again| again.at <= now);
            if running.len() < LINES_AT_ONCE
                && let Some(line) = self.journal.oldest_line(is_free)
            {
                let tried = put_off.remove(&line).map(|again| again.tried).unwrap_or_default();
                busy.insert(line);
                running.push(self.line(line, tried).map(move |ending| (line, ending)));
                continue;
            }
            if running.is_empty() && self.close() {
                return;
            }
            let again = put_off.values().map(|again| again.at).min();
            tokio::select! {
                Some((line, ending)) = running.next() => {
                    busy.remove(&line);
                    match ending {
                        Ending::Drained => {}
                        Ending::PutOff(tried) => {
                            put_off.insert(line, Again { at: Instant::now() + ATTEMPT_PAUSE, tried });
                        }
                        Ending::Stopped(error) => self.stop(&error),
                    }
                }
                Some(()) = OptionFuture::from(again.map(sleep_until)) => {}
                () = changed => {}
            }
        }
        // What is under way is seen to its end, so that nothing of it lands behind the next replay.
        while running.next().await.is_some() {}
    }

    /// Replays one line, from its first entry to its last.
    async fn line(&self, line: Line, mut tried: Tried) -> Ending {
        let Some(circuit) = self.circuit() else { return Ending::Drained };
        if let Err(error) = drop_erased(circuit.primary(), &self.journal, &[line]).await {
            return Ending::Stopped(error);
        }
        drop(circuit);
        // Whether the primary has said for good that there is no such conversation.
        let mut is_absent = false;
        while let Some(sequence) = self.journal.first(line)
            && let Some(circuit) = self.circuit()
        {
            let entry = match self.journal.entry(sequence).await {
                Ok(Some(entry)) => entry,
                Ok(None) => {
                    self.journal.forget(line, sequence);
                    continue;
                }
                Err(error) => return Ending::Stopped(error),
            };
            let fate =
                entry::replay(circuit.primary(), &self.journal, &entry, self.journal.is_broken(line)).await;
            let noted = match fate {
                Fate::Stored { refused_state, deviates } => {
                    circuit.note_taken();
                    self.stored(line, sequence, refused_state.as_deref(), deviates).await
                }
                Fate::Erased => self.erased(circuit.primary(), line, sequence).await,
                Fate::Refused(reason) => {
                    is_absent |= entry.operation.kind() == JournalKind::Create;
                    self.refused(line, sequence, &reason).await
                }
                Fate::Unknown(error) => {
                    tried.attempts += 1;
                    if !is_absent && tried.attempts < ATTEMPTS {
                        return Ending::PutOff(tried);
                    }
                    is_absent |= matches!(error, RepositoryError::NotFound { .. });
                    self.refused(line, sequence, &error.to_string()).await
                }
                Fate::Unexplained(error) => {
                    tried.attempts += 1;
                    let taken = circuit.taken();
                    let since = *tried.unexplained_since.get_or_insert(taken);
                    if tried.attempts < ATTEMPTS {
                        return Ending::PutOff(tried);
                    }
                    // Whether it is about the entry, only another one shows that is taken meanwhile.
                    if !self.takes_some && taken == since {
                        return Ending::Stopped(error);
                    }
                    self.refused(line, sequence, &error.to_string()).await
                }
                Fate::Gone(error) => return Ending::Stopped(error),
            };
            if let Err(error) = noted {
                return Ending::Stopped(error);
            }
            tried.attempts = 0;
        }
        if self.journal.first(line).is_none() {
            self.forget(line);
        }
        Ending::Drained
    }

    async fn stored(
        &self,
        line: Line,
        sequence: u64,
        refused_state: Option<&str>,
        deviates: bool,
    ) -> RepositoryResult<()> {
        // First: where the journal fails now, what follows is broken all the same.
        if deviates {
            self.journal.break_line(line);
            self.refuse_states_behind(line, sequence).await?;
        }
        if deviates || self.journal.is_last(line) {
            self.forget(line);
        }
        if let Some(reason) = refused_state {
            self.journal.refuse_agent_state(sequence, reason).await?;
        }
        self.journal.settle(line, sequence).await
    }

    /// The primary says that this is erased: it was, since it was asked about the line. What is erased of that goes.
    async fn erased(&self, primary: &dyn Repositories, line: Line, sequence: u64) -> RepositoryResult<()> {
        self.forget(line);
        drop_erased(primary, &self.journal, &[line]).await?;
        if self.journal.first(line) == Some(sequence) {
            // A clock was set in between.
            self.journal.settle(line, sequence).await?;
        }
        Ok(())
    }

    async fn refused(&self, line: Line, sequence: u64, reason: &str) -> RepositoryResult<()> {
        self.journal.break_line(line);
        self.forget(line);
        self.refuse_states_behind(line, sequence).await?;
        self.journal.refuse(line, sequence, reason).await
    }

    /// The states that stand behind an entry which is not stored as it was taken: they say to have seen turns
    /// that stand elsewhere now, and their revision may be right by chance. They are refused before the entry is
    /// done with: that the line is broken is known to this process alone, and it may end here.
    async fn refuse_states_behind(&self, line: Line, sequence: u64) -> RepositoryResult<()> {
        for behind in self.journal.behind(line, sequence) {
            let entry = self.journal.entry(behind).await?;
            if entry.is_some_and(|entry| entry.operation.kind() == JournalKind::Save) {
                self.journal.refuse(line, behind, entry::MADE_FROM_REFUSED).await?;
            }
        }
        Ok(())
    }

    /// Memory knows the conversation no more.
    fn forget(&self, line: Line) {
        if let Some(outage) = self.outage.upgrade() {
            outage.forget(line);
        }
    }

    fn circuit(&self) -> Option<Arc<Circuit>> {
        self.circuit.upgrade().filter(|circuit| circuit.epoch() == self.epoch)
    }

    fn is_on(&self) -> bool {
        self.circuit().is_some()
    }

    fn stop(&self, error: &RepositoryError) {
        if let Some(circuit) = self.circuit() {
            circuit.stop_replay(self.epoch, error);
        }
    }

    /// Closes the circuit, if nothing is left.
    fn close(&self) -> bool {
        self.circuit().is_some_and(|circuit| circuit.close_drained(self.epoch))
    }
}

impl Drop for Replayer {
    fn drop(&mut self) {
        if let Some(circuit) = self.circuit() {
            circuit.abandon_replay(self.epoch);
        }
    }
}
