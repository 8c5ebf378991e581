//! The port for requests that are being answered.

use std::time::Duration;

use async_trait::async_trait;

use super::RepositoryResult;
use crate::{BeginRequest, Begun, Interruption, RequestId, UserId};

/// Keeps what replicas must know of requests that are being answered.
#[async_trait]
pub trait RequestRepository: Send + Sync {
    /// Begins a request, or tells what became of the one with the same user and key.
    ///
    /// Of any number of attempts with one key at once, one is `Started`. An attempt whose lease has run out
    /// is taken over, with its turn and its conversation. Without a key it is always `Started`. Sent twice with the same
    /// request id, it is `Started` twice.
    ///
    /// # Errors
    /// `Invalid` for a key that is empty, too long or has U+0000 in it; `IdempotencyMismatch` where the key
    /// was used for another request.
    async fn begin(&self, user_id: UserId, begin: BeginRequest) -> RepositoryResult<Begun>;

    /// Renews the leases of requests that this process is answering, and names those to be interrupted.
    ///
    /// One that is no longer there, or that another attempt has taken over, is not renewed, and not named.
    async fn renew(
        &self,
        requests: &[(UserId, RequestId)],
        lease: Duration,
    ) -> RepositoryResult<Vec<RequestId>>;

    /// Marks the request as answered: its turn is stored. One without a key is forgotten.
    async fn finish(&self, user_id: UserId, request_id: RequestId) -> RepositoryResult<()>;

    /// Forgets a request that came to no answer, so that a retry begins at once.
    async fn abandon(&self, user_id: UserId, request_id: RequestId) -> RepositoryResult<()>;

    /// Has the request stopped by whoever answers it; `None` where it is absent or foreign.
    async fn interrupt(
        &self,
        user_id: UserId,
        request_id: RequestId,
    ) -> RepositoryResult<Option<Interruption>>;
}
