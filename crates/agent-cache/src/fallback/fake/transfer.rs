//! Nothing is exported from the fake, and what is imported is there.

use async_trait::async_trait;
use chrono::TimeDelta;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::{ExportFilter, Exported, Imported, IncomingConversation, IncomingHead};
use lcs_domain::{NewTurn, TransferRepository};

use super::Fake;

#[async_trait]
impl TransferRepository for Fake {
    async fn count_exported(&self, _: ExportFilter) -> RepositoryResult<u64> {
        self.enter().await.map(|_| 0)
    }

    fn export(&self, _: ExportFilter) -> BoxStream<'static, RepositoryResult<Exported>> {
        stream::empty().boxed()
    }

    async fn import(
        &self,
        conversations: Vec<IncomingConversation>,
        _: TimeDelta,
    ) -> RepositoryResult<Vec<Imported>> {
        self.enter().await.map(|_| conversations.iter().map(|_| Imported::Present).collect())
    }

    async fn import_long(
        &self,
        _: IncomingHead,
        _: BoxStream<'static, RepositoryResult<NewTurn>>,
        _: TimeDelta,
    ) -> RepositoryResult<Imported> {
        self.enter().await.map(|_| Imported::Present)
    }
}
