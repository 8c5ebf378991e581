//! Export and import, timed.

use async_trait::async_trait;
use chrono::TimeDelta;
use futures_core::stream::BoxStream;
use futures_util::StreamExt as _;
use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::{ExportFilter, Exported, Imported, IncomingConversation, IncomingHead};
use lcs_domain::{NewTurn, TransferRepository};

use super::{Call, Timed, timed};

#[async_trait]
impl TransferRepository for Timed {
    async fn count_exported(&self, filter: ExportFilter) -> RepositoryResult<u64> {
        timed("transfer.count_exported", self.0.transfers().count_exported(filter)).await
    }

    fn export(&self, filter: ExportFilter) -> BoxStream<'static, RepositoryResult<Exported>> {
        // Until the last part is read, or nobody wants more.
        let call = Call::begin("transfer.export");
        let parts = self.0.transfers().export(filter);
        parts
            .inspect(move |part| {
                if let Err(error) = part {
                    call.failed(error);
                }
            })
            .boxed()
    }

    async fn import(
        &self,
        conversations: Vec<IncomingConversation>,
        age: TimeDelta,
    ) -> RepositoryResult<Vec<Imported>> {
        timed("transfer.import", self.0.transfers().import(conversations, age)).await
    }

    async fn import_long(
        &self,
        head: IncomingHead,
        turns: BoxStream<'static, RepositoryResult<NewTurn>>,
        age: TimeDelta,
    ) -> RepositoryResult<Imported> {
        timed("transfer.import_long", self.0.transfers().import_long(head, turns, age)).await
    }
}
