//! The operator's port for archives: what is moved out of the store, and how it comes back.

use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;

use super::RepositoryResult;
use crate::archive::{
    Archive, ArchiveContent, ArchiveState, ArchivedHead, Forgotten, Restored, Tombstone, UserHash,
};
use crate::transfer::{IncomingConversation, IncomingHead};
use crate::{ArchiveId, ConversationId, NewTurn, PageLimit, RetentionPolicy};

/// Knows which archive holds what, and moves conversations out and back in, each at once or not at all.
///
/// It touches no file. Whoever writes the files follows this order: an archive is begun, its files are written and
/// read back, conversations are removed under it, it is closed. From then on nothing is ever removed under it, so
/// that an archive that is closed or given up can be replaced, and its files deleted, whoever may still be at work
/// with it.
#[async_trait]
pub trait ArchiveRepository: Send + Sync {
    /// Up to `limit` conversations that the policy lets expire now: not what a user deleted, not what a hold is on,
    /// and none of those in `except`, which are a thousand at most.
    async fn due_for_archive(
        &self,
        policy: RetentionPolicy,
        except: Vec<ConversationId>,
        limit: u32,
    ) -> RepositoryResult<Vec<ConversationId>>;

    /// Records that an archive is begun; again: that it still is. `false`: another one was begun within this time
    /// and is not closed, so that somebody else is at work.
    async fn begin_archive(&self, archive_id: ArchiveId, unless_within: Duration) -> RepositoryResult<bool>;

    /// Removes conversations that this archive holds, as a purge does, with tombstones that name it, and records
    /// that in the audit log. Says how many.
    ///
    /// Under the lock of each it is looked whether the policy still lets it expire, no hold is on it, and it is as the
    /// archive has it (P7): what is not stays. `None` where the archive is not begun, or is closed.
    async fn remove_archived(
        &self,
        archive_id: ArchiveId,
        policy: RetentionPolicy,
        heads: Vec<ArchivedHead>,
    ) -> RepositoryResult<Option<u64>>;

    /// Closes an archive that is begun and holds so much: what its state is from now on. Of one that is closed: what
    /// it is. `None` where there is none.
    async fn close_archive(
        &self,
        archive_id: ArchiveId,
        content: ArchiveContent,
    ) -> RepositoryResult<Option<ArchiveState>>;

    /// Lets the archive `new`, which is begun and holds these conversations of the archive `old`, take its place:
    /// their tombstones name it. Both are closed then; the state of the new one is the answer. `None` where `new` is
    /// not begun.
    async fn replace_archive(
        &self,
        old: ArchiveId,
        new: ArchiveId,
        conversations: Vec<ConversationId>,
        content: ArchiveContent,
    ) -> RepositoryResult<Option<ArchiveState>>;

    /// Closes an archive that is not to be finished, or marks one that holds nothing any more: given up where no
    /// tombstone names it, and else stale. `None` where there is none.
    async fn give_up_archive(&self, archive_id: ArchiveId) -> RepositoryResult<Option<ArchiveState>>;

    /// Forgets an archive that is given up: its files are deleted.
    async fn forget_archive(&self, archive_id: ArchiveId) -> RepositoryResult<()>;

    /// The archive of this id.
    async fn find_archive(&self, archive_id: ArchiveId) -> RepositoryResult<Option<Archive>>;

    /// A page of the archives, in the order of their ids.
    async fn list_archives(
        &self,
        after: Option<ArchiveId>,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<Archive>>;

    /// Up to `limit` archives that are not complete, behind this one, in the order of their ids.
    async fn unfinished_archives(
        &self,
        after: Option<ArchiveId>,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<Archive>>;

    /// The conversations that this archive holds, in the order of their ids: those whose tombstones name it, whatever
    /// their reason is by now. An erasure that a hold has stopped has changed that, and the hold keeps them.
    async fn archived_in(&self, archive_id: ArchiveId) -> RepositoryResult<Vec<ConversationId>>;

    /// Those of them that may come back, in the order of their ids: not what is erased by now.
    async fn restorable_in(&self, archive_id: ArchiveId) -> RepositoryResult<Vec<ConversationId>>;

    /// What is left of a removed conversation.
    async fn tombstone(&self, conversation_id: ConversationId) -> RepositoryResult<Option<Tombstone>>;

    /// Whether this conversation is stored, came back from an archive, and was not deleted since.
    async fn is_restored(&self, conversation_id: ConversationId) -> RepositoryResult<bool>;

    /// The archives that hold conversations of this user that may come back, in the order of their ids.
    async fn archives_of_user(&self, user: UserHash) -> RepositoryResult<Vec<ArchiveId>>;

    /// No archive holds these conversations any more: their tombstones say `erased` where they said `expired`. Says
    /// how many there were. The archives that held them are stale, and those that are begun are closed, for they may
    /// hold them too: their files are the caller's to replace. `Held` where a legal hold is on any of it: nothing is
    /// done then.
    async fn leave_archives(&self, what: Forgotten) -> RepositoryResult<u64>;

    /// Stores conversations that this archive holds as they were, lifts their tombstones, and records it in the audit
    /// log: each whole or not at all. Says of each what became of it, in their order. Retention leaves them alone
    /// for as long as `keep`.
    ///
    /// Only what had expired comes back: what was deleted or erased is refused (P6).
    async fn restore(
        &self,
        archive_id: ArchiveId,
        keep: Duration,
        conversations: Vec<IncomingConversation>,
    ) -> RepositoryResult<Vec<Restored>>;

    /// The same for one conversation whose turns are too many to be held at once.
    async fn restore_long(
        &self,
        archive_id: ArchiveId,
        keep: Duration,
        head: IncomingHead,
        turns: BoxStream<'static, RepositoryResult<NewTurn>>,
    ) -> RepositoryResult<Restored>;
}
