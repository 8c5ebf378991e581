//! What comes from a source, into a store.
//!
//! Idle time begins anew with the import, so that nothing is reaped because it was idle where it came from (P7);
//! and yet a list shows the newest first, as it did there: see [`renewed`].

use std::future::Future;
use std::io;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt as _;
use futures_util::stream;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::{Imported, IncomingConversation, IncomingHead, Refusal};
use lcs_domain::{Clock, NewTurn, Repositories, RepositoryError};
use serde::Serialize;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::arrival::{Arrival, Place, Reject};

/// How long ago something may have happened to keep its time.
const RECENT: TimeDelta = TimeDelta::hours(1);

/// What an import came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Conversations that are stored now; with a dry run, that would be.
    pub stored: u64,
    /// How many turns those have.
    pub turns: u64,
    /// Conversations that were there before, the same in everything.
    pub present: u64,
    /// Conversations that were there before, and have gone on or were changed since.
    pub continued: u64,
    /// What could not be read, or was refused.
    pub rejected: u64,
    /// Whether it was stopped before the source's end.
    pub stopped: bool,
}

impl ImportReport {
    /// Conversations that were looked at, however it went.
    #[must_use]
    pub const fn seen(&self) -> u64 {
        self.stored + self.present + self.continued + self.rejected
    }
}

/// Why an import did not come to its end. What is stored by then stays, and the same import goes on from there.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] RepositoryError),
    /// What was rejected could not be noted: the listener's own error.
    #[error("{0}")]
    Rejects(#[from] io::Error),
}

/// Who is told what becomes of an import.
pub trait ImportListener: Send {
    /// Something was rejected.
    fn rejected(&mut self, reject: &Reject) -> io::Result<()>;
    /// So far it has come.
    fn progress(&mut self, report: &ImportReport);
}

/// An import under way.
#[derive(Clone)]
pub struct Import {
    store: Arc<dyn Repositories>,
    clock: Arc<dyn Clock>,
    began: DateTime<Utc>,
    started: Instant,
    is_dry: bool,
}

impl std::fmt::Debug for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Import")
            .field("began", &self.began)
            .field("is_dry", &self.is_dry)
            .finish_non_exhaustive()
    }
}

/// When a conversation that was last changed at `updated_at` was, as seen by retention and by lists here, where it
/// is imported at `began`: its idle time as it is up to an hour, and what is beyond that shrunk to a millionth. A
/// year is an hour and half a minute.
#[must_use]
pub fn renewed(updated_at: DateTime<Utc>, began: DateTime<Utc>) -> DateTime<Utc> {
    let idle = (began - updated_at).max(TimeDelta::zero());
    let (recent, beyond) = (idle.min(RECENT), (idle - RECENT).max(TimeDelta::zero()));
    lcs_domain::clock::to_microseconds(began - recent - TimeDelta::microseconds(beyond.num_seconds()))
}

impl Import {
    /// An import into `store` that begins now. A dry one stores nothing: it looks whether what comes is there.
    #[must_use]
    pub fn new(store: Arc<dyn Repositories>, clock: Arc<dyn Clock>, is_dry: bool) -> Self {
        Self { store, began: clock.now(), clock, started: Instant::now(), is_dry }
    }

    /// Takes in what arrives, until nothing more comes or `stop` is ready.
    pub async fn run(
        &self,
        mut arrivals: mpsc::Receiver<Arrival>,
        listener: &mut dyn ImportListener,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<ImportReport, ImportError> {
        let mut report = ImportReport::default();
        tokio::pin!(stop);
        loop {
            let arrival = tokio::select! {
                biased;
                () = &mut stop => None,
                arrival = arrivals.recv() => match arrival {
                    None => return Ok(report),
                    arrival => arrival,
                },
            };
            let Some(arrival) = arrival else { break };
            match arrival {
                Arrival::Reject(reject) => {
                    report.rejected += 1;
                    listener.rejected(&reject)?;
                }
                Arrival::Batch(batch) => {
                    let (places, conversations): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
                    let heads: Vec<_> = conversations
                        .iter()
                        .map(|incoming| incoming.head.conversation.conversation_id)
                        .zip(conversations.iter().map(|incoming| incoming.turns.len() as u64))
                        .collect();
                    let imported = self.batch(conversations).await?;
                    for ((place, (id, turns)), imported) in places.into_iter().zip(heads).zip(imported) {
                        note(&mut report, listener, imported, turns, || (place, id))?;
                    }
                }
                Arrival::Long(place, head, turns) => {
                    let conversation = &head.conversation;
                    let (id, count) = (conversation.conversation_id, conversation.turn_count.into());
                    let imported = tokio::select! {
                        biased;
                        () = &mut stop => None,
                        imported = self.long(*head, turns) => Some(imported?),
                    };
                    let Some(imported) = imported else { break };
                    note(&mut report, listener, imported, count, || (place, id))?;
                }
            }
            listener.progress(&report);
        }
        report.stopped = true;
        Ok(report)
    }

    async fn batch(&self, mut conversations: Vec<IncomingConversation>) -> RepositoryResult<Vec<Imported>> {
        if self.is_dry {
            let mut imported = Vec::with_capacity(conversations.len());
            for incoming in &conversations {
                imported.push(match incoming.validate() {
                    Err(error) => Imported::Refused(Refusal::invalid(&error)),
                    Ok(()) => self.look(&incoming.head).await?,
                });
            }
            return Ok(imported);
        }
        for incoming in &mut conversations {
            self.renew(&mut incoming.head);
        }
        self.store.transfers().import(conversations, self.age()).await
    }

    async fn long(
        &self,
        mut head: IncomingHead,
        mut turns: mpsc::Receiver<RepositoryResult<NewTurn>>,
    ) -> RepositoryResult<Imported> {
        if self.is_dry {
            while let Some(turn) = turns.recv().await {
                if let Err(error) = turn {
                    return Imported::of_refusal(error);
                }
            }
            return match head.validate() {
                Err(error) => Ok(Imported::Refused(Refusal::invalid(&error))),
                Ok(()) => self.look(&head).await,
            };
        }
        self.renew(&mut head);
        let turns = stream::poll_fn(move |context| turns.poll_recv(context)).boxed();
        self.store.transfers().import_long(head, turns, self.age()).await
    }

    /// How long ago it began: what is erased since is not brought back by it. Of two clocks the one that says more: the
    /// monotonic one stands still while the machine is suspended, and the other may be set back.
    fn age(&self) -> TimeDelta {
        let elapsed = TimeDelta::from_std(self.started.elapsed()).unwrap_or(TimeDelta::MAX);
        elapsed.max(self.clock.now() - self.began)
    }

    fn renew(&self, head: &mut IncomingHead) {
        head.conversation.updated_at = renewed(head.conversation.updated_at, self.began);
    }

    /// Whether it is there already, or was.
    async fn look(&self, head: &IncomingHead) -> RepositoryResult<Imported> {
        let (user_id, id) = (head.conversation.user_id, head.conversation.conversation_id);
        let conversations = self.store.conversations();
        if conversations.get(user_id, id).await?.is_some() {
            return Ok(Imported::Present);
        }
        let was_deleted = conversations.was_deleted(user_id, id).await?;
        Ok(if was_deleted { Imported::Refused(Refusal::deleted()) } else { Imported::Stored })
    }
}

/// Counts what became of a conversation.
fn note(
    report: &mut ImportReport,
    listener: &mut dyn ImportListener,
    imported: Imported,
    turns: u64,
    place: impl FnOnce() -> (Place, lcs_domain::ConversationId),
) -> io::Result<()> {
    match imported {
        Imported::Stored => {
            report.stored += 1;
            report.turns += turns;
        }
        Imported::Present => report.present += 1,
        Imported::Continued => report.continued += 1,
        Imported::Refused(refusal) => {
            report.rejected += 1;
            let (place, id) = place();
            listener.rejected(&place.reject(Some(id), refusal.to_string()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lcs_domain::{
        Actor, AuditDetail, ConversationId, ErasureTarget, ManualClock, NewErasure, PageLimit, SystemClock,
        UserId,
    };
    use lcs_storage::memory::Memory;

    use super::*;
    use crate::transfer::source::Draft;

    struct Nobody;

    impl ImportListener for Nobody {
        fn rejected(&mut self, _: &Reject) -> io::Result<()> {
            Ok(())
        }

        fn progress(&mut self, _: &ImportReport) {}
    }

    /// Another user's conversation, and one of this user's.
    fn batch(user_id: UserId) -> Arrival {
        let users = [UserId::generate(), user_id].into_iter();
        let drafts = users.map(|user_id| Draft::new(Place::Line(1), user_id, ConversationId::generate()));
        let finished = drafts.map(|draft| draft.finish().unwrap());
        Arrival::Batch(finished.map(|(place, incoming, _)| (place, incoming)).collect())
    }

    #[tokio::test]
    async fn p6_a_user_who_was_erased_before_the_machine_was_suspended_is_not_brought_back() {
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let store = Arc::new(Memory::new(clock.clone()));
        let import = Import::new(store.clone(), clock.clone(), false);
        clock.advance(Duration::from_secs(1));
        let user_id = UserId::generate();
        let erasure = NewErasure::of(ErasureTarget::User(user_id), Actor::operator("ada"));
        let erasure_id = store.erasures().begin_erasure(erasure.clone()).await.unwrap().erasure_id;
        let erasure = NewErasure { erasure_id, ..erasure };
        store.erasures().erase_some(erasure.clone(), PageLimit::MAX).await.unwrap();
        store.erasures().end_erasure(erasure, "{}".to_owned(), AuditDetail::default()).await.unwrap();
        // The monotonic clock does not see this hour.
        clock.advance(Duration::from_hours(1));
        let (sender, arrivals) = mpsc::channel(1);
        sender.send(batch(user_id)).await.unwrap();
        drop(sender);
        let report = import.run(arrivals, &mut Nobody, std::future::pending()).await.unwrap();
        assert_eq!((report.stored, report.rejected), (1, 1));
    }

    #[test]
    fn idle_time_begins_anew_and_the_order_stays() {
        let began = DateTime::from_timestamp(1_764_000_000, 0).unwrap();
        let ages = [0, 1, 60, 3_600, 3_601, 86_400, 86_401, 40_000_000, 400_000_000];
        let renewed: Vec<_> =
            ages.iter().map(|seconds| renewed(began - TimeDelta::seconds(*seconds), began)).collect();
        assert!(renewed.is_sorted_by(|one, other| one > other));
        assert!(began - *renewed.last().unwrap() < TimeDelta::minutes(70));
        assert_eq!(super::renewed(began + TimeDelta::days(1), began), began, "never in the future");
    }
}
