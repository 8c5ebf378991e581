//! `Arc<dyn Repositories>` as a store of its own: the blanket implementation over a pointer.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lcs_domain::{ConversationId, Durability, Repositories, RequestId};
use lcs_storage::conformance::Harness;

use crate::memory::MemoryHarness;

struct SharedHarness(MemoryHarness);

#[async_trait]
impl Harness for SharedHarness {
    async fn open(&self) -> Arc<dyn Repositories> {
        let store: Arc<dyn Repositories> = self.0.open().await;
        Arc::new(store)
    }

    async fn age(&self, conversation: ConversationId, by: Duration) {
        self.0.age(conversation, by).await;
    }

    async fn age_request(&self, request: RequestId, by: Duration) {
        self.0.age_request(request, by).await;
    }

    fn durability(&self) -> Durability {
        self.0.durability()
    }
}

lcs_storage::conformance_suite!(SharedHarness(MemoryHarness::new()));
