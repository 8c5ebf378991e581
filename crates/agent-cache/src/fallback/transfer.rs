//! Export and import through the fallback: they wait for the primary, as retention does.

#![deny(clippy::missing_trait_methods)]

use std::sync::Arc;

use async_trait::async_trait;
use chrono::TimeDelta;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::transfer::{ExportFilter, Exported, Imported, IncomingConversation, IncomingHead};
use lcs_domain::{NewTurn, TransferRepository};

use super::Fallback;
use super::route::{Route, Subject};

/// What a refused operator is told.
const REFUSED: &str = "nothing can be exported or imported before, try again then";

#[async_trait]
impl TransferRepository for Fallback {
    async fn count_exported(&self, filter: ExportFilter) -> RepositoryResult<u64> {
        self.of_primary(REFUSED, self.primary.transfers().count_exported(filter)).await
    }

    /// An export that was begun goes on, whatever becomes of the circuit.
    fn export(&self, filter: ExportFilter) -> BoxStream<'static, RepositoryResult<Exported>> {
        let (circuit, primary) = (Arc::clone(&self.circuit), Arc::clone(&self.primary));
        let parts = async move {
            let epoch = match circuit.route(Subject::Everything).await? {
                Route::Primary(epoch) => epoch,
                Route::Outage(outage) => return Err(outage.refusal(REFUSED)),
            };
            let mut is_observed = false;
            let parts = primary.transfers().export(filter);
            // The first part is a sign of life; those behind it say nothing more.
            let observe = move |part: &RepositoryResult<Exported>| {
                if part.is_err() || !is_observed {
                    circuit.observe(epoch, part.as_ref().err());
                }
                is_observed = true;
            };
            Ok(parts.inspect(observe))
        };
        stream::once(parts).try_flatten().boxed()
    }

    async fn import(
        &self,
        conversations: Vec<IncomingConversation>,
        age: TimeDelta,
    ) -> RepositoryResult<Vec<Imported>> {
        self.of_primary(REFUSED, self.primary.transfers().import(conversations, age)).await
    }

    async fn import_long(
        &self,
        head: IncomingHead,
        turns: BoxStream<'static, RepositoryResult<NewTurn>>,
        age: TimeDelta,
    ) -> RepositoryResult<Imported> {
        self.of_primary(REFUSED, self.primary.transfers().import_long(head, turns, age)).await
    }
}
