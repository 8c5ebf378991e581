//! The fallback over a store that is there: as if it were not in between, in both modes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lcs_agent_cache::fallback::{Fallback, FallbackConfig, FallbackMode};
use lcs_domain::{ConversationId, Durability, Repositories, RequestId, SystemClock};
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
        Arc::new(Fallback::new(primary, || Arc::new(Memory::new(Arc::new(SystemClock))), config))
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

mod refuse {
    use super::{FallbackHarness, FallbackMode};

    lcs_storage::conformance_suite!(FallbackHarness::new(FallbackMode::Refuse));
}

mod volatile {
    use super::{FallbackHarness, FallbackMode};

    lcs_storage::conformance_suite!(FallbackHarness::new(FallbackMode::Memory));
}
