//! The operator's port for legal holds.

use async_trait::async_trait;

use super::RepositoryResult;
use crate::hold::{Hold, HoldTarget, NewHold};
use crate::{Actor, HoldId, PageLimit};

/// Places and releases legal holds, and records it.
///
/// A hold that was acknowledged is in force: no purge that ends afterwards has removed anything that it is on.
#[async_trait]
pub trait HoldRepository: Send + Sync {
    /// Places a hold. The same one placed again is given as it is.
    ///
    /// # Errors
    /// `NotFound` where the conversation is not there, or was just purged; `AlreadyExists` where the id is that of
    /// another hold.
    async fn place(&self, hold: NewHold) -> RepositoryResult<Hold>;

    /// Releases a hold, once and for all; one that is released is given as it is. `None`: there is no such hold.
    async fn release(&self, hold_id: HoldId, released_by: Actor) -> RepositoryResult<Option<Hold>>;

    /// The holds that are in force, those behind `after`, ordered by id.
    async fn list_holds(&self, after: Option<HoldId>, limit: PageLimit) -> RepositoryResult<Vec<Hold>>;

    /// The holds in force that keep something of `target`: on a conversation or on its user; on a user or on any of
    /// their conversations. None where there is no such conversation.
    async fn holding(&self, target: HoldTarget) -> RepositoryResult<Vec<Hold>>;
}
