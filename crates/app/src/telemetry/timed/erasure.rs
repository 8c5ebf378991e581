//! Erasure, timed.

use async_trait::async_trait;
use chrono::TimeDelta;
use lcs_domain::erasure::{
    ArchivedOfTarget, Erased, ErasedArchive, Erasure, ErasureStep, ErasureTarget, NewErasure,
    OwnedConversation, RemainingRows,
};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{AuditDetail, Conversation, ErasureRepository, NewConversation, PageLimit, UserId};

use super::{Timed, timed};

#[async_trait]
impl ErasureRepository for Timed {
    async fn begin_erasure(&self, new: NewErasure) -> RepositoryResult<Erasure> {
        timed("erasure.begin_erasure", self.0.erasures().begin_erasure(new)).await
    }

    async fn erase_some(&self, erasure: NewErasure, limit: PageLimit) -> RepositoryResult<ErasureStep> {
        timed("erasure.erase_some", self.0.erasures().erase_some(erasure, limit)).await
    }

    async fn archived_of(&self, target: ErasureTarget) -> RepositoryResult<Vec<ArchivedOfTarget>> {
        timed("erasure.archived_of", self.0.erasures().archived_of(target)).await
    }

    async fn note_archives(
        &self,
        erasure: NewErasure,
        archives: Vec<ErasedArchive>,
    ) -> RepositoryResult<Erasure> {
        timed("erasure.note_archives", self.0.erasures().note_archives(erasure, archives)).await
    }

    async fn end_erasure(
        &self,
        erasure: NewErasure,
        certificate: String,
        detail: AuditDetail,
    ) -> RepositoryResult<Erasure> {
        timed("erasure.end_erasure", self.0.erasures().end_erasure(erasure, certificate, detail)).await
    }

    async fn ended_erasures(
        &self,
        target: ErasureTarget,
        limit: PageLimit,
    ) -> RepositoryResult<Vec<Erasure>> {
        timed("erasure.ended_erasures", self.0.erasures().ended_erasures(target, limit)).await
    }

    async fn unfinished_erasures(&self, target: ErasureTarget) -> RepositoryResult<Vec<Erasure>> {
        timed("erasure.unfinished_erasures", self.0.erasures().unfinished_erasures(target)).await
    }

    async fn last_placed_erasure(&self) -> RepositoryResult<Option<Erasure>> {
        timed("erasure.last_placed_erasure", self.0.erasures().last_placed_erasure()).await
    }

    async fn remaining(&self, target: ErasureTarget) -> RepositoryResult<Vec<RemainingRows>> {
        timed("erasure.remaining", self.0.erasures().remaining(target)).await
    }

    async fn erased(&self, conversations: Vec<OwnedConversation>) -> RepositoryResult<Erased> {
        timed("erasure.erased", self.0.erasures().erased(conversations)).await
    }

    async fn create_unless_erased(
        &self,
        user_id: UserId,
        new: NewConversation,
        age: TimeDelta,
    ) -> RepositoryResult<Option<Conversation>> {
        let created = self.0.erasures().create_unless_erased(user_id, new, age);
        timed("erasure.create_unless_erased", created).await
    }

    async fn latest_erasure(&self) -> RepositoryResult<u64> {
        timed("erasure.latest_erasure", self.0.erasures().latest_erasure()).await
    }
}
