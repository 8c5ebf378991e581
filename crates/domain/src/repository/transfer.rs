//! The operator's port for moving conversations from one store to another.

use async_trait::async_trait;
use chrono::TimeDelta;
use futures_core::stream::BoxStream;

use super::RepositoryResult;
use crate::NewTurn;
use crate::transfer::{ExportFilter, Exported, Imported, IncomingConversation, IncomingHead};

/// Reads out whole conversations of all users, and takes them in.
#[async_trait]
pub trait TransferRepository: Send + Sync {
    /// How many conversations the filter takes now.
    async fn count_exported(&self, filter: ExportFilter) -> RepositoryResult<u64>;

    /// The conversations that the filter takes, with their agents' states and their turns: all of one snapshot,
    /// in the order of their ids, in constant memory, however many they are.
    ///
    /// Nothing is done before the stream is polled. An error is an item, and the last one: a stream that ends
    /// without one was whole. Where a conversation has not the turns that its head says, the error is
    /// `Inconsistent`. A reader may stand still for minutes; then it is given up with `Overloaded`.
    fn export(&self, filter: ExportFilter) -> BoxStream<'static, RepositoryResult<Exported>>;

    /// Stores conversations that were held elsewhere, with their ids, numbers, times, revisions and marks, each
    /// whole or not at all, and says of each what became of it, in their order. What is there already is compared
    /// and never changed, so that the same import sent twice stores once.
    ///
    /// A conversation that was deleted or purged here is refused (P6), and so is one that was erased, or whose user
    /// was, since the import began, `age` ago. It is looked under the lock under which is erased: what this stores is
    /// there when the next step of an erasure looks.
    async fn import(
        &self,
        conversations: Vec<IncomingConversation>,
        age: TimeDelta,
    ) -> RepositoryResult<Vec<Imported>>;

    /// The same for one conversation whose turns are too many to be held at once: they are read from `turns`
    /// while they are stored. Where `turns` ends with an error, nothing is stored, and that error is the answer:
    /// `Invalid` and `TooLarge` as a refusal.
    async fn import_long(
        &self,
        head: IncomingHead,
        turns: BoxStream<'static, RepositoryResult<NewTurn>>,
        age: TimeDelta,
    ) -> RepositoryResult<Imported>;
}
