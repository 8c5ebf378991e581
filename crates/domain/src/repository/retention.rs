//! The operator's port for retention, and the user's question when something ends.

use std::num::NonZeroU32;
use std::time::Duration;

use async_trait::async_trait;

use super::RepositoryResult;
use crate::retention::Keeping;
use crate::{ConversationId, PageLimit, PurgeReport, RetentionPolicy, UserId};

/// Removes what may be removed, of all users.
///
/// What a legal hold is on may not. What a user's own retention says goes before what the policy says of idle
/// conversations; what a user has deleted goes by the policy.
#[async_trait]
pub trait RetentionRepository: Send + Sync {
    /// How many conversations the policy would have purged if they were looked at now.
    async fn count_due(&self, policy: RetentionPolicy) -> RepositoryResult<u64>;

    /// How many it would have purged besides, if no hold were on them.
    async fn count_held(&self, policy: RetentionPolicy) -> RepositoryResult<u64>;

    /// Removes up to `limit` conversations that the policy allows to go, each with its turns, its agent's
    /// state and its user's requests to it, leaves a tombstone for each (P6), and records the batch in the audit log.
    ///
    /// Whether a conversation may go is decided under its lock: one that has just woken up is kept (P7),
    /// one that is locked by somebody else is passed over. Two batches may be under way at once, and remove different
    /// conversations. Another one waits, or is told that the store is `busy`, and can leave the work to them.
    async fn purge_batch(&self, policy: RetentionPolicy, limit: PageLimit) -> RepositoryResult<PurgeReport>;

    /// Takes the next turn to remove `count` conversations at this rate, and says in what time it comes. Turns follow
    /// each other, whoever takes them: all who work on the store share the rate, and no more goes in a second than it
    /// allows. What nobody took in time is not caught up with.
    ///
    /// A turn is when a batch may begin. Nobody waits longer than [`LONGEST_WAIT`](crate::retention::LONGEST_WAIT): a
    /// clock that was put back does not stop retention; and who would have to wait longer goes with others at its end.
    async fn take_turn(&self, count: u32, per_second: NonZeroU32) -> RepositoryResult<Duration>;

    /// Removes up to `limit` requests that came to no answer, and says how many: those whose leases ended
    /// more than [`ABANDONED_AFTER`](crate::retention::ABANDONED_AFTER) ago and whose turns are not stored.
    async fn purge_requests(&self, limit: PageLimit) -> RepositoryResult<u64>;

    /// What there is beside the policy that says how long these conversations of this user's are kept.
    async fn keeping(&self, user_id: UserId, conversations: Vec<ConversationId>)
    -> RepositoryResult<Keeping>;
}
