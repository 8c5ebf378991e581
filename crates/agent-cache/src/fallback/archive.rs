//! Archives through the fallback: they are the primary's alone.

#![deny(clippy::missing_trait_methods)]

use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use lcs_domain::archive::{
    Archive, ArchiveContent, ArchiveState, ArchivedHead, Forgotten, Restored, Tombstone, UserHash,
};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::{IncomingConversation, IncomingHead};
use lcs_domain::{ArchiveId, ArchiveRepository, ConversationId, NewTurn, PageLimit, RetentionPolicy};

use super::Fallback;

/// What a refused operator is told.
const REFUSED: &str = "nothing can be archived or restored before, try again then";

#[async_trait]
impl ArchiveRepository for Fallback {
    async fn due_for_archive(
        &self,
        policy: RetentionPolicy,
        except: Vec<ConversationId>,
        limit: u32,
    ) -> RepositoryResult<Vec<ConversationId>> {
        self.of_primary(REFUSED, self.primary.archives().due_for_archive(policy, except, limit)).await
    }

    async fn begin_archive(&self, archive_id: ArchiveId, unless_within: Duration) -> RepositoryResult<bool> {
        self.of_primary(REFUSED, self.primary.archives().begin_archive(archive_id, unless_within)).await
    }

    async fn remove_archived(
        &self,
        archive_id: ArchiveId,
        policy: RetentionPolicy,
        heads: Vec<ArchivedHead>,
    ) -> RepositoryResult<Option<u64>> {
        self.of_primary(REFUSED, self.primary.archives().remove_archived(archive_id, policy, heads)).await
    }

    async fn close_archive(
        &self,
        archive_id: ArchiveId,
        content: ArchiveContent,
    ) -> RepositoryResult<Option<ArchiveState>> {
        self.of_primary(REFUSED, self.primary.archives().close_archive(archive_id, content)).await
    }

    async fn replace_archive(
        &self,
        old: ArchiveId,
        new: ArchiveId,
        conversations: Vec<ConversationId>,
        content: ArchiveContent,
    ) -> RepositoryResult<Option<ArchiveState>> {
        self.of_primary(REFUSED, self.primary.archives().replace_archive(old, new, conversations, content))
            .await
    }

    async fn give_up_archive(&self, archive_id: ArchiveId) -> RepositoryResult<Option<ArchiveState>> {
        self.of_primary(REFUSED, self.primary.archives().give_up_archive(archive_id)).await
    }

    async fn forget_archive(&self, archive_id: ArchiveId) -> RepositoryResult<()> {
        self.of_primary(REFUSED, self.primary.archives().forget_archive(archive_id)).await
    }

    async fn find_archive(&self, archive_id: ArchiveId) -> RepositoryResult<Option<Archive>> {
        self.of_primary(REFUSED, self.primary.archives().find_archive(archive_id)).await
    }

    async fn list_archives(
        &self,
        after: Option<ArchiveId>,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<Archive>> {
        self.of_primary(REFUSED, self.primary.archives().list_archives(after, limit)).await
    }

    async fn unfinished_archives(
        &self,
        after: Option<ArchiveId>,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<Archive>> {
        self.of_primary(REFUSED, self.primary.archives().unfinished_archives(after, limit)).await
    }

    async fn archived_in(&self, archive_id: ArchiveId) -> RepositoryResult<Vec<ConversationId>> {
        self.of_primary(REFUSED, self.primary.archives().archived_in(archive_id)).await
    }

    async fn restorable_in(&self, archive_id: ArchiveId) -> RepositoryResult<Vec<ConversationId>> {
        self.of_primary(REFUSED, self.primary.archives().restorable_in(archive_id)).await
    }

    async fn tombstone(&self, conversation_id: ConversationId) -> RepositoryResult<Option<Tombstone>> {
        self.of_primary(REFUSED, self.primary.archives().tombstone(conversation_id)).await
    }

    async fn is_restored(&self, conversation_id: ConversationId) -> RepositoryResult<bool> {
        self.of_primary(REFUSED, self.primary.archives().is_restored(conversation_id)).await
    }

    async fn archives_of_user(&self, user: UserHash) -> RepositoryResult<Vec<ArchiveId>> {
        self.of_primary(REFUSED, self.primary.archives().archives_of_user(user)).await
    }

    async fn leave_archives(&self, what: Forgotten) -> RepositoryResult<u64> {
        self.of_primary(REFUSED, self.primary.archives().leave_archives(what)).await
    }

    async fn restore(
        &self,
        archive_id: ArchiveId,
        keep: Duration,
        conversations: Vec<IncomingConversation>,
    ) -> RepositoryResult<Vec<Restored>> {
        self.of_primary(REFUSED, self.primary.archives().restore(archive_id, keep, conversations)).await
    }

    async fn restore_long(
        &self,
        archive_id: ArchiveId,
        keep: Duration,
        head: IncomingHead,
        turns: BoxStream<'static, RepositoryResult<NewTurn>>,
    ) -> RepositoryResult<Restored> {
        self.of_primary(REFUSED, self.primary.archives().restore_long(archive_id, keep, head, turns)).await
    }
}
