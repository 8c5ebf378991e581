//! Erasures through the fallback: they are the primary's alone. What is erased there is taken out of the journal here.

#![deny(clippy::missing_trait_methods)]

use async_trait::async_trait;
use chrono::TimeDelta;
use lcs_domain::erasure::{
    ArchivedOfTarget, Erased, ErasedArchive, Erasure, ErasureStep, ErasureTarget, NewErasure,
    OwnedConversation, RemainingRows,
};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{AuditDetail, Conversation, ErasureRepository, NewConversation, PageLimit, UserId};

use super::Fallback;
use super::replay::drop_erased;
use super::route::{Route, Subject};

/// What a refused operator is told.
const REFUSED: &str = "nothing can be erased before, try again then";

impl Fallback {
    /// Takes what is erased in the primary out of the journal, entries and conflicts: unread, and for good. Without a
    /// journal there is nothing to do.
    ///
    /// A replay does the same with each conversation before it replays anything of it.
    ///
    /// # Errors
    /// What the primary and the journal answer: what is erased is then in the journal still.
    pub async fn forget_erased(&self) -> RepositoryResult<()> {
        let Some(journal) = self.circuit.journal() else { return Ok(()) };
        let lines = journal.all_lines().await?;
        drop_erased(&*self.primary, journal, &lines).await
    }
}

#[async_trait]
impl ErasureRepository for Fallback {
    async fn begin_erasure(&self, new: NewErasure) -> RepositoryResult<Erasure> {
        self.of_primary(REFUSED, self.primary.erasures().begin_erasure(new)).await
    }

    async fn erase_some(&self, erasure: NewErasure, limit: PageLimit) -> RepositoryResult<ErasureStep> {
        self.of_primary(REFUSED, self.primary.erasures().erase_some(erasure, limit)).await
    }

    async fn archived_of(&self, target: ErasureTarget) -> RepositoryResult<Vec<ArchivedOfTarget>> {
        self.of_primary(REFUSED, self.primary.erasures().archived_of(target)).await
    }

    async fn note_archives(
        &self,
        erasure: NewErasure,
        archives: Vec<ErasedArchive>,
    ) -> RepositoryResult<Erasure> {
        self.of_primary(REFUSED, self.primary.erasures().note_archives(erasure, archives)).await
    }

    async fn end_erasure(
        &self,
        erasure: NewErasure,
        certificate: String,
        detail: AuditDetail,
    ) -> RepositoryResult<Erasure> {
        self.of_primary(REFUSED, self.primary.erasures().end_erasure(erasure, certificate, detail)).await
    }

    async fn ended_erasures(
        &self,
        target: ErasureTarget,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<Erasure>> {
        match self.circuit.route(Subject::Request).await? {
            Route::Primary(epoch) => {
                self.watched(epoch, self.primary.erasures().ended_erasures(target, limit)).await
            }
            Route::Outage(outage) => Err(outage.refusal(REFUSED)),
        }
    }

    async fn unfinished_erasures(&self, target: ErasureTarget) -> RepositoryResult<Vec<Erasure>> {
        self.of_primary(REFUSED, self.primary.erasures().unfinished_erasures(target)).await
    }

    async fn last_placed_erasure(&self) -> RepositoryResult<Option<Erasure>> {
        self.of_primary(REFUSED, self.primary.erasures().last_placed_erasure()).await
    }

    async fn remaining(&self, target: ErasureTarget) -> RepositoryResult<Vec<RemainingRows>> {
        self.of_primary(REFUSED, self.primary.erasures().remaining(target)).await
    }

    async fn erased(&self, conversations: Vec<OwnedConversation>) -> RepositoryResult<Erased> {
        match self.circuit.route(Subject::Request).await? {
            Route::Primary(epoch) => self.watched(epoch, self.primary.erasures().erased(conversations)).await,
            Route::Outage(outage) => Err(outage.refusal(REFUSED)),
        }
    }

    async fn create_unless_erased(
        &self,
        user_id: UserId,
        new: NewConversation,
        age: TimeDelta,
    ) -> RepositoryResult<Option<Conversation>> {
        self.of_primary(REFUSED, self.primary.erasures().create_unless_erased(user_id, new, age)).await
    }

    async fn latest_erasure(&self) -> RepositoryResult<u64> {
        match self.circuit.route(Subject::Request).await? {
            Route::Primary(epoch) => self.watched(epoch, self.primary.erasures().latest_erasure()).await,
            Route::Outage(outage) => Err(outage.refusal(REFUSED)),
        }
    }
}
