//! Archives, timed.

use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use lcs_domain::archive::{
    Archive, ArchiveContent, ArchiveState, ArchivedHead, Forgotten, Restored, Tombstone, UserHash,
};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::{IncomingConversation, IncomingHead};
use lcs_domain::{ArchiveId, ArchiveRepository, ConversationId, NewTurn, PageLimit, RetentionPolicy};
use metrics::counter;

use super::{Timed, timed};

#[async_trait]
impl ArchiveRepository for Timed {
    async fn due_for_archive(
        &self,
        policy: RetentionPolicy,
        except: Vec<ConversationId>,
        limit: u32,
    ) -> RepositoryResult<Vec<ConversationId>> {
        timed("archive.due_for_archive", self.0.archives().due_for_archive(policy, except, limit)).await
    }

    async fn begin_archive(&self, archive_id: ArchiveId, unless_within: Duration) -> RepositoryResult<bool> {
        timed("archive.begin_archive", self.0.archives().begin_archive(archive_id, unless_within)).await
    }

    async fn remove_archived(
        &self,
        archive_id: ArchiveId,
        policy: RetentionPolicy,
        heads: Vec<ArchivedHead>,
    ) -> RepositoryResult<Option<u64>> {
        let removed =
            timed("archive.remove_archived", self.0.archives().remove_archived(archive_id, policy, heads))
                .await?;
        counter!("lcs_retention_purged_total", "reason" => "archived").increment(removed.unwrap_or_default());
        Ok(removed)
    }

    async fn close_archive(
        &self,
        archive_id: ArchiveId,
        content: ArchiveContent,
    ) -> RepositoryResult<Option<ArchiveState>> {
        timed("archive.close_archive", self.0.archives().close_archive(archive_id, content)).await
    }

    async fn replace_archive(
        &self,
        old: ArchiveId,
        new: ArchiveId,
        conversations: Vec<ConversationId>,
        content: ArchiveContent,
    ) -> RepositoryResult<Option<ArchiveState>> {
        timed("archive.replace_archive", self.0.archives().replace_archive(old, new, conversations, content))
            .await
    }

    async fn give_up_archive(&self, archive_id: ArchiveId) -> RepositoryResult<Option<ArchiveState>> {
        timed("archive.give_up_archive", self.0.archives().give_up_archive(archive_id)).await
    }

    async fn forget_archive(&self, archive_id: ArchiveId) -> RepositoryResult<()> {
        timed("archive.forget_archive", self.0.archives().forget_archive(archive_id)).await
    }

    async fn find_archive(&self, archive_id: ArchiveId) -> RepositoryResult<Option<Archive>> {
        timed("archive.find_archive", self.0.archives().find_archive(archive_id)).await
    }

    async fn list_archives(
        &self,
        after: Option<ArchiveId>,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<Archive>> {
        timed("archive.list_archives", self.0.archives().list_archives(after, limit)).await
    }

    async fn unfinished_archives(
        &self,
        after: Option<ArchiveId>,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<Archive>> {
        timed("archive.unfinished_archives", self.0.archives().unfinished_archives(after, limit)).await
    }

    async fn archived_in(&self, archive_id: ArchiveId) -> RepositoryResult<Vec<ConversationId>> {
        timed("archive.archived_in", self.0.archives().archived_in(archive_id)).await
    }

    async fn restorable_in(&self, archive_id: ArchiveId) -> RepositoryResult<Vec<ConversationId>> {
        timed("archive.restorable_in", self.0.archives().restorable_in(archive_id)).await
    }

    async fn tombstone(&self, conversation_id: ConversationId) -> RepositoryResult<Option<Tombstone>> {
        timed("archive.tombstone", self.0.archives().tombstone(conversation_id)).await
    }

    async fn is_restored(&self, conversation_id: ConversationId) -> RepositoryResult<bool> {
        timed("archive.is_restored", self.0.archives().is_restored(conversation_id)).await
    }

    async fn archives_of_user(&self, user: UserHash) -> RepositoryResult<Vec<ArchiveId>> {
        timed("archive.archives_of_user", self.0.archives().archives_of_user(user)).await
    }

    async fn leave_archives(&self, what: Forgotten) -> RepositoryResult<u64> {
        timed("archive.leave_archives", self.0.archives().leave_archives(what)).await
    }

    async fn restore(
        &self,
        archive_id: ArchiveId,
        keep: Duration,
        conversations: Vec<IncomingConversation>,
    ) -> RepositoryResult<Vec<Restored>> {
        timed("archive.restore", self.0.archives().restore(archive_id, keep, conversations)).await
    }

    async fn restore_long(
        &self,
        archive_id: ArchiveId,
        keep: Duration,
        head: IncomingHead,
        turns: BoxStream<'static, RepositoryResult<NewTurn>>,
    ) -> RepositoryResult<Restored> {
        timed("archive.restore_long", self.0.archives().restore_long(archive_id, keep, head, turns)).await
    }
}
