//! The operator's port for erasure, and what replicas and journals ask of it.

use async_trait::async_trait;
use chrono::TimeDelta;

use super::RepositoryResult;
use crate::erasure::{
    ArchivedOfTarget, Erased, ErasedArchive, Erasure, ErasureStep, ErasureTarget, NewErasure,
    OwnedConversation, RemainingRows,
};
use crate::{AuditDetail, Conversation, NewConversation, PageLimit, UserId};

/// Removes all that is of a user or a conversation, and knows ever after that it did.
///
/// What a legal hold in force is on is not erased, and nothing of its target either: it is refused before each step,
/// under the lock under which holds are placed.
#[async_trait]
pub trait ErasureRepository: Send + Sync {
    /// Begins an erasure, and records that. One of the same target that was begun and has not ended is gone on
    /// with: it is given, under its own id.
    ///
    /// That there is nothing to erase is no error.
    ///
    /// # Errors
    /// `Held` where a hold is in force on anything of the target.
    async fn begin_erasure(&self, new: NewErasure) -> RepositoryResult<Erasure>;

    /// Removes up to `limit` conversations of the target, each with its turns, its agent's state and all requests to
    /// it, and leaves a tombstone for each; with the last of them, whatever else there is of the target. It is
    /// recorded, and counted in the erasure, in the same transaction. An erasure that has ended is given as it is.
    ///
    /// # Errors
    /// `Held`, as above; `NotFound` where no such erasure was begun, or it was one of another target.
    async fn erase_some(&self, erasure: NewErasure, limit: PageLimit) -> RepositoryResult<ErasureStep>;

    /// How many conversations of the target are archived in which archive: where a step has said of them that they are
    /// erased, too.
    async fn archived_of(&self, target: ErasureTarget) -> RepositoryResult<Vec<ArchivedOfTarget>>;

    /// Notes archives that hold something of the target, before they are touched. One that is noted already stays as it
    /// is, but for where it was seen last and that it is lost; an erasure that has ended is given as it is.
    ///
    /// # Errors
    /// `Held` where a legal hold is on anything of it; `NotFound` where no such erasure was begun, or it was one of another
    /// target.
    async fn note_archives(
        &self,
        erasure: NewErasure,
        archives: Vec<ErasedArchive>,
    ) -> RepositoryResult<Erasure>;

    /// Ends an erasure with its certificate, and records it with `detail`. One that has ended is given as it is.
    ///
    /// # Errors
    /// `NotFound` where no such erasure was begun, or it was one of another target.
    async fn end_erasure(
        &self,
        erasure: NewErasure,
        certificate: String,
        detail: AuditDetail,
    ) -> RepositoryResult<Erasure>;

    /// The erasures of this target that have ended, the newest first.
    async fn ended_erasures(&self, target: ErasureTarget, limit: PageLimit)
    -> RepositoryResult<Vec<Erasure>>;

    /// The erasures that were begun and have not ended, and are of something of this target: its own, for a user those of
    /// single conversations of theirs too, and for a conversation those of all that is of the user whose it is or was. The
    /// first begun is the first.
    async fn unfinished_erasures(&self, target: ErasureTarget) -> RepositoryResult<Vec<Erasure>>;

    /// The last erasure that has noted what the place of the archives is known by: of those that have not ended, or else
    /// of those that have.
    async fn last_placed_erasure(&self) -> RepositoryResult<Option<Erasure>>;

    /// How many rows name the target: in each table that the database itself says has a column for it, those too that
    /// this program knows nothing of. Not looked at is what stays and names no user (tombstones, erasures), and the
    /// audit log.
    async fn remaining(&self, target: ErasureTarget) -> RepositoryResult<Vec<RemainingRows>>;

    /// Which of these are erased, or of users who are.
    async fn erased(&self, conversations: Vec<OwnedConversation>) -> RepositoryResult<Erased>;

    /// Begins a conversation that was taken `age` ago and could not be stored before: `None` where it was erased since,
    /// or its user was. It is looked under the lock under which is erased: what this begins is there when the next step
    /// of an erasure looks.
    ///
    /// # Errors
    /// As of any other [create](super::ConversationRepository::create).
    async fn create_unless_erased(
        &self,
        user_id: UserId,
        new: NewConversation,
        age: TimeDelta,
    ) -> RepositoryResult<Option<Conversation>>;

    /// A number that is another one, and higher, when something was erased since; 0 where nothing ever was.
    async fn latest_erasure(&self) -> RepositoryResult<u64>;
}
