//! Where a call goes, and the wait for a conversation that is being replayed.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::OptionFuture;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{ConversationId, PoolStatus, RepositoryError, UserId};
use tokio::time::{Instant, timeout, timeout_at};

use super::Fallback;
use super::circuit::{Circuit, Epoch, Standing};
use super::intake::Intake;
use super::journal::{Journal, Line};
use super::outage::Outage;

/// What a call is about: what of the journal it has to wait for, while that is replayed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject {
    /// One conversation.
    Conversation(Line),
    /// All that a user has.
    User(UserId),
    /// All that there is.
    Everything,
    /// Nothing that is journaled.
    Request,
}

impl Subject {
    pub(super) const fn conversation(user_id: UserId, conversation_id: ConversationId) -> Self {
        Self::Conversation(Line { user_id, conversation_id })
    }

    fn waits_in(self, journal: &Journal) -> bool {
        match self {
            Self::Conversation(line) => journal.has_line(line),
            Self::User(user_id) => journal.has_user(user_id),
            Self::Everything => !journal.is_drained(),
            Self::Request => false,
        }
    }
}

/// Where a call goes.
pub(super) enum Route {
    /// To the primary. The result is to be observed.
    Primary(Epoch),
    /// To what the outage still can answer, or to its refusal.
    Outage(Arc<Outage>),
}

/// Where a write goes.
pub(super) enum WriteRoute {
    /// To the primary. The result is to be observed.
    Primary(Epoch),
    /// To what stands in for it.
    StandIn(StandIn),
}

/// What came of a write that goes to the primary where it can.
pub(super) enum Written<T> {
    /// What the primary answered.
    Answered(T),
    /// It is for this to take; `failed` is how the primary failed at it, where it was asked.
    ToTake {
        /// What takes it.
        stand_in: StandIn,
        /// How the primary failed.
        failed: Option<RepositoryError>,
    },
}

/// What takes a write while the primary is gone.
pub(super) enum StandIn {
    /// The outage's memory, or its refusal.
    Outage(Arc<Outage>),
    /// The journal.
    Journal(Intake),
}

impl Fallback {
    /// Has the primary do `write` under `key`, unless it is gone, or found to be gone by this.
    pub(super) async fn written<T, F>(
        &self,
        subject: Subject,
        line: Line,
        key: String,
        write: impl FnOnce() -> F + Send,
    ) -> RepositoryResult<Written<T>>
    where
        F: Future<Output = RepositoryResult<T>> + Send,
    {
        match self.circuit.route_write(subject, line).await? {
            WriteRoute::Primary(epoch) => {
                let result = match self.circuit.journal() {
                    Some(_) => self.unless_unreachable(epoch, key, write()).await,
                    None => self.watched(epoch, write()).await,
                };
                if result.is_ok() {
                    self.circuit.note_taken();
                }
                match self.circuit.route_failed(line, result.as_ref().err()) {
                    Some(stand_in) => Ok(Written::ToTake { stand_in, failed: result.err() }),
                    None => result.map(Written::Answered),
                }
            }
            WriteRoute::StandIn(stand_in) => Ok(Written::ToTake { stand_in, failed: None }),
        }
    }
}

/// How long a write that the journal would take waits for a connection where none can be made: as long as a
/// server takes that is restarted, and not as long as an operation may. A call that only reads has nobody else
/// to ask, and waits on.
const UNREACHABLE_AFTER: Duration = Duration::from_secs(2);
/// How often it is looked then whether that is so still.
const LOOK: Duration = Duration::from_millis(100);

impl Fallback {
    /// What the primary answers to `write`, unless nobody is connected to it and nobody can be.
    ///
    /// The write is not waited for then, and may be done all the same when the primary is back: its outcome
    /// is unknown. Under its key it comes to one write with the one that is journaled (P1).
    async fn unless_unreachable<T>(
        &self,
        epoch: Epoch,
        key: String,
        write: impl Future<Output = RepositoryResult<T>> + Send,
    ) -> RepositoryResult<T> {
        let failed = self.primary.pool_status().map(|pool| pool.connects_failed);
        let mut write = pin!(self.watched(epoch, write));
        let mut patience = UNREACHABLE_AFTER;
        loop {
            if let Ok(result) = timeout(patience, &mut write).await {
                return result;
            }
            patience = LOOK;
            let is_unreachable = |pool: PoolStatus| {
                pool.size == 0 && failed.is_some_and(|failed| pool.connects_failed > failed)
            };
            if self.primary.pool_status().is_some_and(is_unreachable) {
                let reason = format!("no connection to it could be made within {UNREACHABLE_AFTER:?}");
                let error = RepositoryError::unavailable(reason);
                self.circuit.observe(epoch, Some(&error));
                self.circuit.open_for_write(&error);
                return Err(RepositoryError::OutcomeUnknown { key });
            }
        }
    }
}

impl Circuit {
    /// Where a call that begins now goes.
    ///
    /// # Errors
    /// `Unavailable` where it is about what is being replayed, and that takes longer than a caller waits.
    pub(super) async fn route(self: &Arc<Self>, subject: Subject) -> RepositoryResult<Route> {
        let decide = |standing| match standing {
            Standing::Closed(epoch) => Some(Route::Primary(epoch)),
            Standing::Open(outage) => Some(Route::Outage(outage)),
            Standing::Replaying(epoch) => self.is_free(subject).then_some(Route::Primary(epoch)),
        };
        self.decided(decide).await
    }

    /// Where a write to `line` that begins now goes; `subject` is what it has to wait for.
    pub(super) async fn route_write(
        self: &Arc<Self>,
        subject: Subject,
        line: Line,
    ) -> RepositoryResult<WriteRoute> {
        let decide = |standing| match standing {
            Standing::Closed(epoch) => Some(WriteRoute::Primary(epoch)),
            Standing::Open(outage) => Some(WriteRoute::StandIn(self.stand_in(outage, line))),
            Standing::Replaying(epoch) => self.is_free(subject).then_some(WriteRoute::Primary(epoch)),
        };
        self.decided(decide).await
    }

    /// What takes a write after all that failed so at the primary.
    ///
    /// The journal takes each of them, and the circuit opens for it: an answer that a model has given is not
    /// lost because it was the first to find the database gone. It is sent again under its own key, so that an
    /// unknown outcome comes to one write. Memory cannot do that: it takes only what was definitely not
    /// applied, and only where the circuit is open by now.
    pub(super) fn route_failed(
        self: &Arc<Self>,
        line: Line,
        error: Option<&RepositoryError>,
    ) -> Option<StandIn> {
        let error = error?;
        let is_lost = matches!(error, RepositoryError::Unavailable { .. });
        let is_unknown = matches!(error, RepositoryError::OutcomeUnknown { .. });
        if is_lost || is_unknown {
            self.open_for_write(error);
        }
        self.standing(|standing| match standing {
            Standing::Open(outage) if is_lost || is_unknown && outage.journal().is_some() => {
                outage.volatile().is_some().then(|| self.stand_in(Arc::clone(&outage), line))
            }
            _ => None,
        })
    }

    fn stand_in(&self, outage: Arc<Outage>, line: Line) -> StandIn {
        match self.journal() {
            // Announced while the circuit is held still: it cannot close before this write has arrived.
            Some(journal) => StandIn::Journal(Intake { outage, ticket: journal.expect(line) }),
            None => StandIn::Outage(outage),
        }
    }

    fn is_free(&self, subject: Subject) -> bool {
        self.journal().is_none_or(|journal| !subject.waits_in(journal))
    }

    async fn decided<T>(self: &Arc<Self>, decide: impl Fn(Standing) -> Option<T>) -> RepositoryResult<T> {
        let deadline = Instant::now() + self.replay_patience();
        loop {
            // Asked for before the look: a change in between is not missed.
            let changed = OptionFuture::from(self.journal().map(|journal| journal.changed()));
            if let Some(decided) = self.standing(&decide) {
                return Ok(decided);
            }
            if timeout_at(deadline, changed).await.is_err() {
                let entries = self.status().backlog.entries;
                return Err(RepositoryError::unavailable(format!(
                    "it answers again, and is given the {entries} operations that were journaled meanwhile, \
                     some of which this call is about: try again in a moment"
                )));
            }
        }
    }
}

/// What to tell of a write that the primary failed at so, and the journal with `error`: what may have been
/// applied there stays unknown, whatever the journal says.
pub(super) fn still_unknown(failed: Option<RepositoryError>, error: RepositoryError) -> RepositoryError {
    match failed {
        Some(unknown @ RepositoryError::OutcomeUnknown { .. }) => unknown,
        _ => error,
    }
}
