//! The port for requests that are being answered.

use std::time::Duration;

use async_trait::async_trait;

use super::RepositoryResult;
use crate::{BeginRequest, Begun, Interruption, RequestId, UserId};

/// Keeps what replicas must know of requests that are being answered. All time is the store's own.
#[async_trait]
pub trait RequestRepository: Send + Sync {
    /// Begins a request, or tells what became of the one with the same user and key.
    ///
    /// Of any number of attempts with one key at once, one is `Started`. An attempt whose lease has run out
    /// is taken over, with its turn and its conversation; that it was to be interrupted is forgotten. Without
    /// a key it is always `Started`. Sent twice with the same request id, it is `Started` twice, while it is
    /// being answered.
    ///
    /// # Errors
    /// `Invalid` as [`BeginRequest::validate`] gives it, before anything else; `IdempotencyMismatch`, with
    /// the first one's turn, where the key was used for another request; `AlreadyExists { Request }` where
    /// another request has this request id.
    async fn begin(&self, user_id: UserId, begin: BeginRequest) -> RepositoryResult<Begun>;

    /// Renews the leases of requests that this process is answering, and names those to be interrupted.
    ///
    /// One that is no longer there, that is answered, or that another attempt has taken over, is not renewed,
    /// and not named.
    async fn renew(
        &self,
        requests: &[(UserId, RequestId)],
        lease: Duration,
    ) -> RepositoryResult<Vec<RequestId>>;

    /// Marks the request as answered: its turn is stored. One without a key is forgotten. Nothing happens
    /// where it is absent, foreign, or taken over.
    async fn finish(&self, user_id: UserId, request_id: RequestId) -> RepositoryResult<()>;

    /// Forgets a request that came to no answer, so that a retry begins at once. Nothing happens where it
    /// was answered, or where [`finish`](Self::finish) does nothing.
    async fn abandon(&self, user_id: UserId, request_id: RequestId) -> RepositoryResult<()>;

    /// Has the request stopped by whoever answers it; `None` where it is absent or foreign.
    async fn interrupt(
        &self,
        user_id: UserId,
        request_id: RequestId,
    ) -> RepositoryResult<Option<Interruption>>;
}
