//! What the fake answers about erasures: what a test says is erased is. That needs no database that answers.

use async_trait::async_trait;
use lcs_domain::erasure::{
    Erased, ErasedConversation, Erasure, ErasureStep, ErasureTarget, NewErasure, OwnedConversation,
    RemainingRows,
};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{AuditDetail, Entity, ErasureRepository, PageLimit, RepositoryError};

use super::Fake;

const NONE: RepositoryError = RepositoryError::not_found(Entity::Erasure);

impl Fake {
    /// From now on this is erased.
    pub(in super::super) fn erase(&self, erased: ErasedConversation) {
        self.erased.lock().unwrap().push(erased);
    }
}

#[async_trait]
impl ErasureRepository for Fake {
    async fn begin_erasure(&self, new: NewErasure) -> RepositoryResult<Erasure> {
        self.enter().await.map(|_| new.begun(None, chrono::DateTime::UNIX_EPOCH))
    }

    async fn erase_some(&self, _: NewErasure, _: PageLimit) -> RepositoryResult<ErasureStep> {
        self.enter().await.map(drop)?;
        Err(NONE)
    }

    async fn end_erasure(&self, _: NewErasure, _: String, _: AuditDetail) -> RepositoryResult<Erasure> {
        self.enter().await.map(drop)?;
        Err(NONE)
    }

    async fn ended_erasures(&self, _: ErasureTarget, _: PageLimit) -> RepositoryResult<Vec<Erasure>> {
        self.enter().await.map(|_| Vec::new())
    }

    async fn remaining(&self, _: ErasureTarget) -> RepositoryResult<Vec<RemainingRows>> {
        self.enter().await.map(|_| Vec::new())
    }

    async fn erased(&self, asked: Vec<OwnedConversation>) -> RepositoryResult<Erased> {
        let known = self.erased.lock().unwrap();
        let conversations = known.iter().filter(|erased| asked.contains(&erased.owned)).copied().collect();
        Ok(Erased { now: chrono::DateTime::UNIX_EPOCH, conversations })
    }

    async fn latest_erasure(&self) -> RepositoryResult<u64> {
        self.enter().await.map(|_| 0)
    }
}
