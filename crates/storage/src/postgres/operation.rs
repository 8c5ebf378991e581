//! Running one statement so that its caller sees neither a dead connection nor a half-known outcome.

use std::time::Duration;

use lcs_domain::RepositoryError;
use lcs_domain::repository::RepositoryResult;
use tokio::time::{Instant, sleep};
use tracing::Instrument as _;
use uuid::Uuid;

use super::Postgres;
use super::connect::Purpose;
use super::error::Fault;
use super::statement::Statement;

/// How often a statement that yielded to another one is run again.
const YIELDS: u32 = 4;

/// What a statement does when it is run, and so what it means that its answer did not come.
#[derive(Debug, Clone, Copy)]
pub(super) enum Effect {
    /// It changes nothing.
    Reads,
    /// It changes something, under this key: the same statement with the same key resolves it. The nil
    /// key stands for none: the same statement does what is left to do.
    Writes(Uuid),
}

impl Effect {
    /// What to tell of an operation whose answer was `lost` at least once.
    fn unresolved(self, error: RepositoryError) -> RepositoryError {
        match self {
            Self::Reads => error,
            Self::Writes(key) => {
                tracing::warn!(%key, error = %error, "the outcome of a write is unknown");
                outcome_unknown(key)
            }
        }
    }
}

/// A statement's rows.
pub(super) struct Answer<U> {
    pub(super) rows: Vec<U>,
    /// Whether the statement had been run before and that answer was lost: it may have been applied then.
    pub(super) repeated: bool,
}

impl<U> Answer<U> {
    /// The only row; `None` where there is none.
    pub(super) fn one(self) -> Option<U> {
        self.rows.into_iter().next()
    }
}

impl Postgres {
    /// Runs `query`, once more on a new connection where the first one dies before it answers.
    pub(super) async fn run<U: Send>(
        &self,
        purpose: Purpose,
        effect: Effect,
        query: &impl Statement<U>,
    ) -> Result<Answer<U>, Fault> {
        let mut lost_at = None;
        let mut yields = 0;
        loop {
            let resolve = |error| if lost_at.is_some() { effect.unresolved(error) } else { error };
            let mut lease = self.pool().lease(purpose, lost_at).await.map_err(resolve)?;
            let fault = match lease.session().load(query).await {
                Ok(rows) => return Ok(Answer { rows, repeated: lost_at.is_some() }),
                Err(fault) => fault,
            };
            drop(lease);
            match fault {
                Fault::Lost(reason) if lost_at.is_none() => {
                    tracing::debug!(reason, "running the statement again on a new connection");
                    lost_at = Some(Instant::now());
                }
                Fault::Lost(reason) => {
                    return Err(effect.unresolved(RepositoryError::unavailable(reason)).into());
                }
                Fault::Yielded if yields < YIELDS => {
                    yields += 1;
                    sleep(Duration::from_millis(10) * yields).await;
                }
                // That this run was refused says nothing of what the lost one did.
                Fault::Yielded | Fault::Refused(_) => return Err(resolve(fault.into_error()).into()),
                Fault::Constraint(_) => return Err(fault),
            }
        }
    }

    /// Runs a statement that changes nothing.
    pub(super) async fn read<U: Send>(&self, query: &impl Statement<U>) -> RepositoryResult<Vec<U>> {
        let answer = self.run(Purpose::Service, Effect::Reads, query).await;
        answer.map(|answer| answer.rows).map_err(Fault::into_error)
    }

    /// Runs a statement that changes something under `key`.
    pub(super) async fn write<U: Send>(
        &self,
        key: Uuid,
        query: &impl Statement<U>,
    ) -> Result<Answer<U>, Fault> {
        self.run(Purpose::Service, Effect::Writes(key), query).await
    }
}

/// Runs `work` in a task of its own: a caller that gives up does not stop a write half way.
pub(super) async fn detached<T: Send + 'static>(
    key: Uuid,
    work: impl Future<Output = RepositoryResult<T>> + Send + 'static,
) -> RepositoryResult<T> {
    match tokio::spawn(work.in_current_span()).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is going down: nobody is left who could find out.
            Err(_) => Err(outcome_unknown(key)),
        },
    }
}

/// What to tell of a write under `key` that may or may not have been applied.
fn outcome_unknown(key: Uuid) -> RepositoryError {
    let key = if key.is_nil() { "(it has none: just run it again)".into() } else { key.to_string() };
    RepositoryError::OutcomeUnknown { key }
}
