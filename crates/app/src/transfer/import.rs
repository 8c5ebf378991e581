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
use lcs_domain::{NewTurn, Repositories, RepositoryError};
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
    pub fn new(store: Arc<dyn Repositories>, began: DateTime<Utc>, is_dry: bool) -> Self {
        Self { store, began, started: Instant::now(), is_dry }
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

    /// How long ago it began: what is erased since is not brought back by it.
    fn age(&self) -> TimeDelta {
        TimeDelta::from_std(self.started.elapsed()).unwrap_or(TimeDelta::MAX)
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
    use super::*;

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
