//! The memory store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lcs_domain::{ConversationId, Durability, Repositories, RequestId, SystemClock};
use lcs_storage::conformance::Harness;
use lcs_storage::memory::Memory;

pub(crate) struct MemoryHarness(Arc<Memory>);

impl MemoryHarness {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Memory::new(Arc::new(SystemClock))))
    }
}

#[async_trait]
impl Harness for MemoryHarness {
    async fn open(&self) -> Arc<dyn Repositories> {
        self.0.clone()
    }

    async fn age(&self, conversation: ConversationId, by: Duration) {
        self.0.age(conversation, by);
    }

    async fn age_request(&self, request: RequestId, by: Duration) {
        self.0.age_request(request, by);
    }

    fn durability(&self) -> Durability {
        Durability::Volatile
    }
}

lcs_storage::conformance_suite!(MemoryHarness::new());
