//! The fallback over a store that is there: as if it were not in between, in each mode.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lcs_agent_cache::fallback::{Fallback, FallbackConfig, FallbackMode};
use lcs_domain::journal::{
    ConflictResolution, JournalConflict, JournalEntry, JournalOperation, JournalStatus,
};
use lcs_domain::repository::RepositoryResult;
use lcs_domain::{
    ConversationId, Durability, JournalRepository, PageLimit, Repositories, RequestId, SystemClock, UserId,
};
use lcs_storage::conformance::Harness;
use lcs_storage::memory::Memory;

use crate::memory::MemoryHarness;

struct FallbackHarness {
    primary: MemoryHarness,
    mode: FallbackMode,
}

impl FallbackHarness {
    fn new(mode: FallbackMode) -> Self {
        Self { primary: MemoryHarness::new(), mode }
    }
}

#[async_trait]
impl Harness for FallbackHarness {
    async fn open(&self) -> Arc<dyn Repositories> {
        let config = FallbackConfig { mode: self.mode, ..FallbackConfig::default() };
        let primary = self.primary.open().await;
        let memory = || Arc::new(Memory::new(Arc::new(SystemClock))) as Arc<dyn Repositories>;
        if self.mode == FallbackMode::Journal {
            return Arc::new(
                Fallback::with_journal(primary, memory, config, Arc::new(Unused)).await.unwrap(),
            );
        }
        Arc::new(Fallback::new(primary, memory, config))
    }

    async fn age(&self, conversation: ConversationId, by: Duration) {
        self.primary.age(conversation, by).await;
    }

    async fn age_request(&self, request: RequestId, by: Duration) {
        self.primary.age_request(request, by).await;
    }

    fn durability(&self) -> Durability {
        self.primary.durability()
    }
}

/// A journal that nothing is written to, because the store is there.
struct Unused;

#[async_trait]
impl JournalRepository for Unused {
    async fn record(&self, _: UserId, operation: JournalOperation) -> RepositoryResult<JournalEntry> {
        panic!("the store is there, and {} was journaled", operation.kind());
    }

    async fn pending(&self, _: u64, _: PageLimit) -> RepositoryResult<Vec<JournalEntry>> {
        Ok(Vec::new())
    }

    async fn settle(&self, _: &[u64]) -> RepositoryResult<()> {
        Ok(())
    }

    async fn refuse(&self, _: u64, _: &str) -> RepositoryResult<()> {
        Ok(())
    }

    async fn refuse_agent_state(&self, _: u64, _: &str) -> RepositoryResult<()> {
        Ok(())
    }

    async fn note_tried(&self, _: u64, _: chrono::DateTime<chrono::Utc>) -> RepositoryResult<()> {
        Ok(())
    }

    async fn conflicts(&self, _: u64, _: PageLimit) -> RepositoryResult<Vec<JournalConflict>> {
        Ok(Vec::new())
    }

    async fn resolve(&self, _: u64, _: ConflictResolution) -> RepositoryResult<bool> {
        Ok(false)
    }

    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        chrono::DateTime::UNIX_EPOCH
    }

    async fn erase(&self, _: &lcs_domain::erasure::Erased) -> RepositoryResult<Vec<u64>> {
        Ok(Vec::new())
    }

    async fn status(&self) -> RepositoryResult<JournalStatus> {
        Ok(JournalStatus::default())
    }
}

mod refuse {
    use super::{FallbackHarness, FallbackMode};

    lcs_storage::conformance_suite!(FallbackHarness::new(FallbackMode::Refuse));
}

mod volatile {
    use super::{FallbackHarness, FallbackMode};

    lcs_storage::conformance_suite!(FallbackHarness::new(FallbackMode::Memory));
}

mod journal {
    use super::{FallbackHarness, FallbackMode};

    lcs_storage::conformance_suite!(FallbackHarness::new(FallbackMode::Journal));
}
