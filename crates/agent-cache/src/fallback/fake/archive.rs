//! Nothing is archived from the fake.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use lcs_domain::archive::{
    Archive, ArchiveContent, ArchiveState, ArchivedHead, Forgotten, Restored, Tombstone, UserHash,
};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::{IncomingConversation, IncomingHead};
use lcs_domain::{ArchiveId, ArchiveRepository, ConversationId, NewTurn, PageLimit, RetentionPolicy};

use super::Fake;

#[async_trait]
impl ArchiveRepository for Fake {
    async fn due_for_archive(
        &self,
        _: RetentionPolicy,
        _: Vec<ConversationId>,
        _: u32,
    ) -> RepositoryResult<Vec<ConversationId>> {
        self.enter().await.map(|_| Vec::new())
    }

    async fn begin_archive(&self, _: ArchiveId, _: Duration) -> RepositoryResult<bool> {
        self.enter().await.map(|_| true)
    }

    async fn remove_archived(
        &self,
        _: ArchiveId,
        _: RetentionPolicy,
        _: Vec<ArchivedHead>,
    ) -> RepositoryResult<Option<u64>> {
        self.enter().await.map(|_| None)
    }

    async fn close_archive(&self, _: ArchiveId, _: ArchiveContent) -> RepositoryResult<Option<ArchiveState>> {
        self.enter().await.map(|_| None)
    }

    async fn replace_archive(
        &self,
        _: ArchiveId,
        _: ArchiveId,
        _: Vec<ConversationId>,
        _: ArchiveContent,
    ) -> RepositoryResult<Option<ArchiveState>> {
        self.enter().await.map(|_| None)
    }

    async fn give_up_archive(&self, _: ArchiveId) -> RepositoryResult<Option<ArchiveState>> {
        self.enter().await.map(|_| None)
    }

    async fn forget_archive(&self, _: ArchiveId) -> RepositoryResult<()> {
        self.enter().await.map(drop)
    }

    async fn find_archive(&self, _: ArchiveId) -> RepositoryResult<Option<Archive>> {
        self.enter().await.map(|_| None)
    }

    async fn list_archives(&self, _: Option<ArchiveId>, _: PageLimit) -> RepositoryResult<Vec<Archive>> {
        self.enter().await.map(|_| Vec::new())
    }

    async fn unfinished_archives(
        &self,
        _: Option<ArchiveId>,
        _: PageLimit,
    ) -> RepositoryResult<Vec<Archive>> {
        self.enter().await.map(|_| Vec::new())
    }

    async fn archived_in(&self, _: ArchiveId) -> RepositoryResult<Vec<ConversationId>> {
        self.enter().await.map(|_| Vec::new())
    }

    async fn restorable_in(&self, _: ArchiveId) -> RepositoryResult<Vec<ConversationId>> {
        self.enter().await.map(|_| Vec::new())
    }

    async fn tombstone(&self, _: ConversationId) -> RepositoryResult<Option<Tombstone>> {
        self.enter().await.map(|_| None)
    }

    async fn is_restored(&self, _: ConversationId) -> RepositoryResult<bool> {
        self.enter().await.map(|_| false)
    }

    async fn archives_of_user(&self, _: UserHash) -> RepositoryResult<Vec<ArchiveId>> {
        self.enter().await.map(|_| Vec::new())
    }

    async fn leave_archives(&self, _: Forgotten) -> RepositoryResult<u64> {
        self.enter().await.map(|_| 0)
    }

    async fn restore(
        &self,
        _: ArchiveId,
        _: Duration,
        _: Vec<IncomingConversation>,
    ) -> RepositoryResult<Vec<Restored>> {
        self.enter().await.map(|_| Vec::new())
    }

    async fn restore_long(
        &self,
        _: ArchiveId,
        _: Duration,
        _: IncomingHead,
        _: BoxStream<'static, RepositoryResult<NewTurn>>,
    ) -> RepositoryResult<Restored> {
        self.enter().await.map(|_| Restored::Elsewhere)
    }
}
