//! Requests through the fallback: those of an outage are kept in its memory, where the mode has one.

#![deny(clippy::missing_trait_methods)]

use std::time::Duration;

use async_trait::async_trait;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{BeginRequest, Begun, Interruption, RepositoryError, RequestId, RequestRepository, UserId};

use super::Fallback;
use super::outage::Outage;
use super::route::{Route, Subject};

#[async_trait]
impl RequestRepository for Fallback {
    async fn begin(&self, user_id: UserId, begin: BeginRequest) -> RepositoryResult<Begun> {
        match self.circuit.route(Subject::Request).await? {
            Route::Primary(epoch) => {
                let result = self.watched(epoch, self.primary.requests().begin(user_id, begin.clone())).await;
                // As with a conversation: definitely not applied, so memory may take it. What follows is a
                // write that the journal would take, and for that one the circuit opens as well.
                if let Err(error @ RepositoryError::Unavailable { .. }) = &result {
                    self.circuit.open_for_write(error);
                    if let Some(outage) = self.circuit.outage()
                        && outage.volatile().is_some()
                    {
                        return memory(&outage)?.begin(user_id, begin).await;
                    }
                }
                result
            }
            Route::Outage(outage) => memory(&outage)?.begin(user_id, begin).await,
        }
    }

    async fn renew(
        &self,
        requests: &[(UserId, RequestId)],
        lease: Duration,
    ) -> RepositoryResult<Vec<RequestId>> {
        match self.circuit.route(Subject::Request).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.requests().renew(requests, lease)).await
            }
            Route::Outage(outage) => memory(&outage)?.renew(requests, lease).await,
        }
    }

    async fn finish(&self, user_id: UserId, request_id: RequestId) -> RepositoryResult<()> {
        match self.circuit.route(Subject::Request).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.requests().finish(user_id, request_id)).await
            }
            Route::Outage(outage) => memory(&outage)?.finish(user_id, request_id).await,
        }
    }

    async fn abandon(&self, user_id: UserId, request_id: RequestId) -> RepositoryResult<()> {
        match self.circuit.route(Subject::Request).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.requests().abandon(user_id, request_id)).await
            }
            Route::Outage(outage) => memory(&outage)?.abandon(user_id, request_id).await,
        }
    }

    async fn interrupt(
        &self,
        user_id: UserId,
        request_id: RequestId,
    ) -> RepositoryResult<Option<Interruption>> {
        match self.circuit.route(Subject::Request).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.requests().interrupt(user_id, request_id)).await
            }
            Route::Outage(outage) => {
                let interruption = memory(&outage)?.interrupt(user_id, request_id).await?;
                let refusal =
                    || outage.refusal("whether it is being answered cannot be known before, try again then");
                interruption.map(Some).ok_or_else(refusal)
            }
        }
    }
}

/// What keeps the outage's requests.
fn memory(outage: &Outage) -> RepositoryResult<&dyn RequestRepository> {
    let volatile = outage.volatile().ok_or_else(|| outage.refusal("try again then"))?;
    Ok(volatile.store().requests())
}
