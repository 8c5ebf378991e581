//! Running one statement so that its caller sees neither a dead connection nor a half-known outcome.

use std::sync::Arc;

use lcs_domain::repository::RepositoryResult;
use lcs_domain::{RepositoryError, UserId};
use tokio::time::Instant;
use tracing::Instrument as _;
use uuid::Uuid;

use super::Postgres;
use super::connect::Purpose;
use super::error::Fault;
use super::retry::{Operation, Tries, outcome_unknown};
use super::statement::{Single, Statement};

/// What a statement does when it is run, and so what it means that its answer did not come.
#[derive(Debug, Clone, Copy)]
pub(super) enum Effect {
    /// It changes nothing.
    Reads,
    /// It changes something, under this key: the same statement with the same key resolves it. The nil
    /// key stands for none: the same statement does what is left to do.
    Writes(Uuid),
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
    /// This store for one call of a port: all its statements end by one deadline, and none of them makes a
    /// refusal out of a write that was lost before.
    pub(super) fn operation(&self) -> Self {
        Self { operation: Some(self.operation_for(Purpose::Service)), ..self.clone() }
    }

    /// This store for several calls at once, which all end by `deadline`.
    pub(super) fn operation_until(&self, deadline: Instant) -> Self {
        Self { operation: Some(Arc::new(Operation::until(deadline))), ..self.clone() }
    }

    fn operation_for(&self, purpose: Purpose) -> Arc<Operation> {
        let config = self.pool().connector().config();
        match (&self.operation, purpose) {
            (Some(operation), Purpose::Service) => Arc::clone(operation),
            (_, Purpose::Service) => Arc::new(Operation::new(config.operation_timeout)),
            (_, Purpose::Maintenance) => {
                Arc::new(Operation::new(config.operation_timeout.saturating_add(config.maintenance_timeout)))
            }
        }
    }

    /// The tries that a statement for `purpose` has.
    pub(super) fn tries(&self, purpose: Purpose) -> Tries {
        Tries::until(self.operation_for(purpose).deadline())
    }

    /// Runs `query`, again on a new connection where one dies before it answers: always the same statement,
    /// never a look at what the lost one did. A commit that still waits for a standby cannot be seen, and so
    /// its absence proves nothing; the same statement waits for its locks.
    pub(super) async fn run<U: Send>(
        &self,
        purpose: Purpose,
        effect: Effect,
        query: &impl Statement<U>,
    ) -> Result<Answer<U>, Fault> {
        let operation = self.operation_for(purpose);
        let mut tries = Tries::until(operation.deadline());
        let (mut newer_than, mut repeated) = (None, false);
        loop {
            let lease = self.pool().lease(purpose, newer_than, &mut tries).await;
            let mut lease = lease.map_err(|error| operation.ended_by(error))?;
            let fault = match lease.session().load_by(tries.deadline(), query).await {
                Ok(rows) => {
                    self.pool().give_back(lease);
                    self.pool().budget().earn();
                    return Ok(Answer { rows, repeated });
                }
                Err(fault) => fault,
            };
            drop(lease);
            match &fault {
                Fault::Lost(reason) => {
                    tracing::debug!(reason, "the statement is run again on a new connection");
                    repeated = true;
                    if let Effect::Writes(key) = effect {
                        operation.lose(key);
                    }
                    newer_than = Some(Instant::now());
                }
                Fault::Refused(RepositoryError::ReadOnly { .. }) => newer_than = Some(Instant::now()),
                Fault::Yielded => {}
                // The lost run may be what holds the lock that this one waited for.
                Fault::Refused(error) if repeated && error.is_retryable() => {}
                Fault::Constraint(_) => return Err(fault),
                Fault::Refused(_) => return Err(operation.ended_by(fault.into_error()).into()),
            }
            if !tries.run_again(self.pool().budget()).await {
                return Err(operation.ended_by(fault.into_error()).into());
            }
        }
    }

    /// Runs a statement of this user's that changes nothing.
    pub(super) async fn read<U: Send + 'static>(
        &self,
        user_id: UserId,
        query: &impl Single<U>,
    ) -> RepositoryResult<Vec<U>> {
        let answer = self.run(Purpose::Service, Effect::Reads, &self.on_behalf_of(user_id, query)).await;
        answer.map(|answer| answer.rows).map_err(Fault::into_error)
    }

    /// Runs a statement of this user's that changes something under `key`.
    pub(super) async fn write<U: Send + 'static>(
        &self,
        user_id: UserId,
        key: Uuid,
        query: &impl Single<U>,
    ) -> Result<Answer<U>, Fault> {
        self.run(Purpose::Service, Effect::Writes(key), &self.on_behalf_of(user_id, query)).await
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
