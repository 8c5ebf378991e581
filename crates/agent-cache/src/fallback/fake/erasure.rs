//! What the fake answers about erasures: what a test says is erased is. That needs no database that answers.

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta};
use lcs_domain::erasure::{
    ArchivedOfTarget, Erased, ErasedArchive, ErasedConversation, Erasure, ErasureStep, ErasureTarget,
    NewErasure, OwnedConversation, RemainingRows,
};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    AuditDetail, Conversation, Entity, ErasureRepository, NewConversation, PageLimit, RepositoryError, UserId,
};

use super::{Fake, held};

const NONE: RepositoryError = RepositoryError::not_found(Entity::Erasure);

impl Fake {
    /// From now on this is erased.
    pub(in super::super) fn erase(&self, erased: ErasedConversation) {
        self.erased.lock().unwrap().push(erased);
    }

    fn known_of(&self, asked: &[OwnedConversation]) -> Erased {
        let known = self.erased.lock().unwrap();
        let conversations = known.iter().filter(|erased| asked.contains(&erased.owned)).copied().collect();
        Erased { now: DateTime::UNIX_EPOCH, conversations }
    }
}

#[async_trait]
impl ErasureRepository for Fake {
    async fn begin_erasure(&self, new: NewErasure) -> RepositoryResult<Erasure> {
        self.enter().await.map(|_| new.begun(None, DateTime::UNIX_EPOCH))
    }

    async fn erase_some(&self, _: NewErasure, _: PageLimit) -> RepositoryResult<ErasureStep> {
        self.enter().await.map(drop)?;
        Err(NONE)
    }

    async fn archived_of(&self, _: ErasureTarget) -> RepositoryResult<Vec<ArchivedOfTarget>> {
        self.enter().await.map(|_| Vec::new())
    }

    async fn note_archives(&self, _: NewErasure, _: Vec<ErasedArchive>) -> RepositoryResult<Erasure> {
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

    async fn unfinished_erasures(&self, _: ErasureTarget) -> RepositoryResult<Vec<Erasure>> {
        self.enter().await.map(|_| Vec::new())
    }

    async fn last_placed_erasure(&self) -> RepositoryResult<Option<Erasure>> {
        self.enter().await.map(|_| None)
    }

    async fn remaining(&self, _: ErasureTarget) -> RepositoryResult<Vec<RemainingRows>> {
        self.enter().await.map(|_| Vec::new())
    }

    async fn erased(&self, asked: Vec<OwnedConversation>) -> RepositoryResult<Erased> {
        Ok(self.known_of(&asked))
    }

    async fn create_unless_erased(
        &self,
        user_id: UserId,
        new: NewConversation,
        age: TimeDelta,
    ) -> RepositoryResult<Option<Conversation>> {
        self.write(|tables| {
            let owned = OwnedConversation { user_id, conversation_id: new.conversation_id };
            if self.known_of(&[owned]).includes_of_age(owned, age) {
                return Ok(None);
            }
            held::create(tables, user_id, new).map(Some)
        })
        .await
    }

    async fn latest_erasure(&self) -> RepositoryResult<u64> {
        self.enter().await.map(|_| 0)
    }
}
